//! Fills a store with many keys by writing its tables directly. Through the admin API, with one
//! durable change for each key, it would take hours.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use keygate::keystore::KeyStore;
use keygate::policy::Digest;
use rusqlite::{Connection, params};

/// The creation time of everything, in Unix seconds.
const MADE: i64 = 1_760_000_000;
const NAMES: [&str; 8] = [
    "CRM Integration",
    "Zendesk Sync",
    "Nightly Export",
    "Mobile App",
    "Reporting",
    "Chat Widget",
    "Staging",
    "Partner",
];

/// Returns the key with this number, as a caller presents it.
pub(crate) fn secret(number: usize) -> String {
    format!("bench_{:016x}{:016x}", mix(number as u64), mix(number as u64 ^ 0x5ca1e))
}

/// Returns the id of the key with this number, as long as the ids that Keygate generates.
pub(crate) fn id(number: usize) -> String {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest =
        u128::from(mix(number as u64 ^ 0x1d)) << 64 | u128::from(mix(number as u64 ^ 0x1d1d));
    let mut id = "key_".to_owned();
    for _ in 0..20 {
        id.push(char::from(BASE62[(rest % 62) as usize]));
        rest /= 62;
    }
    id
}

/// Scrambles a number with the finaliser of SplitMix64, which is a bijection.
pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Makes a store with this many keys, a hundred in each organisation. One key in ten has an address
/// range that contains all clients of the benchmark. One in ten expires some day, one in fifty has
/// a limit of its own, and one in two has been used before.
pub(crate) async fn fill(path: &Path, keys: usize) {
    // Creates the tables.
    let opened = KeyStore::open(path, |_| {}).expect("a new store");
    opened.store.close().await;
    let mut connection = Connection::open(path).expect("the store");
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")
        .expect("settings for a bulk load");
    let transaction = connection.transaction().expect("a transaction");
    let mut ids: Vec<(String, usize)> = (0..keys).map(|number| (id(number), number)).collect();
    // Sorted like the tables, so that every row is appended.
    ids.sort_unstable();
    {
        let statement = |sql| transaction.prepare(sql).expect("a statement");
        let mut key = statement(
            "INSERT INTO keys (id, name, organization, apis, prefix, scopes, allow_ips, \
                allow_referrers, allow_endpoints, rate_limit,
                 created_at, created_by, expires_at, paused, revision)
             VALUES (?1, ?2, ?3, '[\"desk\"]', 'bench_00', ?4, ?5, '[]', '[]', ?6, ?7, 'token \
             bench', ?8, FALSE, 1)",
        );
        let mut secrets = statement(
            "INSERT INTO secrets (key_id, position, digest, created_at) VALUES (?1, 0, ?2, ?3)",
        );
        let mut used = statement(
            "INSERT INTO last_uses (key_id, digest, used_at, day, requests) VALUES (?1, ?2, ?3, \
                ?4, 3)",
        );
        for (id, number) in &ids {
            let random = mix(*number as u64 ^ 0xf111);
            let one_in = |parts: u64, salt: u64| mix(random ^ salt).is_multiple_of(parts);
            let name = format!("{} {:05}", NAMES[(random % 8) as usize], random % 100_000);
            let organization = format!("org_{:06}", number / 100);
            let scopes = match random % 4 {
                0 => r#"["tickets:read","tickets:write","customers:read"]"#,
                1 => r#"["tickets:read","tickets:write"]"#,
                _ => r#"["tickets:read"]"#,
            };
            let addresses = if one_in(10, 1) { r#"["127.0.0.0/8"]"# } else { "[]" };
            let limit = one_in(50, 2).then_some(r#"["500000/min"]"#);
            let expires = one_in(10, 3).then_some(MADE + 20 * 365 * 86_400);
            key.execute(params![id, name, organization, scopes, addresses, limit, MADE, expires])
                .expect("a key");
            let digest = Digest::of(secret(*number).as_bytes());
            secrets.execute(params![id, digest.as_bytes().as_slice(), MADE]).expect("its secret");
            if one_in(2, 4) {
                used.execute(params![id, digest.as_bytes().as_slice(), MADE, MADE / 86_400])
                    .expect("its last use");
            }
        }
        let count = "INSERT INTO organizations (name, revision, live_keys) SELECT organization, \
            0, count(*) FROM keys GROUP BY 1";
        transaction.execute(count, ()).expect("the organisations");
    }
    transaction.commit().expect("the commit");
}

/// Revokes one key in `parts`, in a store that is not open.
pub(crate) fn revoke_one_in(parts: usize, path: &Path, keys: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    let now = i64::try_from(now).expect("a time before the end");
    let mut connection = Connection::open(path).expect("the store");
    let transaction = connection.transaction().expect("a transaction");
    {
        let mut revoke = transaction.prepare(
            "INSERT OR IGNORE INTO revocations (id, revoked_at, revoked_by) \
                VALUES (?1, ?2, 'token bench')",
        );
        let revoke = revoke.as_mut().expect("a statement");
        for number in (0..keys).step_by(parts) {
            revoke.execute(params![id(number), now]).expect("a revocation");
        }
    }
    transaction.commit().expect("the commit");
}
