//! Bytes on a client's connection to a real gateway. The upstream behind it stops everything when a
//! request arrives that is not sound or was not authorised; here the answers are looked at.
#![no_main]

use keygate::http1;
use keygate::policy::Fields;
use keygate_fuzz::gateway::{exchange, gateway};
use keygate_fuzz::key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let bytes = if text.contains("$KEY") {
        text.replace("$KEY", &key()).into_bytes()
    } else {
        data.to_vec()
    };
    let mut answer = exchange(gateway().data, &bytes, true);
    if answer.is_empty() || bytes.starts_with(b"PRI") {
        return;
    }
    let end = http1::find_end(&answer, 0, 1 << 16).expect("a sound answer").expect("a whole head");
    let mut fields = Fields::new();
    let (status, _) =
        http1::response(&mut answer[..end], 100, &mut fields).expect("a sound answer");
    // The upstream is well: whatever goes wrong is the client's mistake.
    assert!(!status.is_server_error(), "{status}");
});
