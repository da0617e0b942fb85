//! Fuzzes the bytes on a client's connection to a real gateway. The upstream ends the run if it
//! receives a malformed or unauthorised request. This target checks the responses.
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
    // The upstream works, so every failure is the client's.
    assert!(!status.is_server_error(), "{status}");
});
