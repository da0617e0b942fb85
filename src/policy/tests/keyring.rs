//! Tests of the table of keys.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn every_key_of_a_large_table_is_found_and_no_other() {
    let texts: Vec<String> =
        (0..20_000).map(|number| key_text("live", &format!("large-{number}"))).collect();
    let keyring =
        Keyring::new(texts.iter().enumerate().map(|(number, text)| {
            TestKey { id: number.to_string().into(), ..key(text) }.record(0)
        }));
    assert_eq!(keyring.len(), texts.len());
    for (number, text) in texts.iter().enumerate() {
        let found =
            keyring.find(&Digest::of(text.as_bytes())).map(|record| record.id().to_string());
        assert_eq!(found, Some(number.to_string()));
        assert!(keyring.find(&Digest::of(format!("{text}x").as_bytes())).is_none());
    }
    assert!(Keyring::new([]).find(&Digest::of(b"any")).is_none());
}

#[test]
fn table_after_any_edits_is_the_table_that_would_be_built_anew() {
    proptest!(|(edits in proptest::collection::vec((0_usize..40, 0_u8..3), 1..60))| {
        let text = |number: usize, version: u8| key_text("live", &format!("{number}-{version}"));
        let record = |number: usize, versions: &[u8]| {
            let digest = |version: &u8| Digest::of(text(number, *version).as_bytes());
            let digests = versions.iter().map(digest).collect();
            TestKey { id: number.to_string().into(), digests, ..key("x") }.record(0)
        };
        let mut known: BTreeMap<usize, Arc<KeyRecord>> = BTreeMap::new();
        let mut keyring = Keyring::new([]);
        for (number, action) in edits {
            // Remove the key, or give it one secret, or two as during a rotation.
            let after = match action {
                0 => None,
                1 => Some(record(number, &[1])),
                _ => Some(record(number, &[2, 1])),
            };
            let before = known.get(&number).cloned();
            keyring = keyring.with(Edit::replace(before.as_ref(), after.as_ref()));
            match after {
                Some(after) => _ = known.insert(number, after),
                None => _ = known.remove(&number),
            }
            let secrets = known.values().map(|record| record.secrets().count());
            prop_assert_eq!(keyring.len(), secrets.sum::<usize>());
        }
        for number in 0..40 {
            for version in 1..3 {
                let digest = Digest::of(text(number, version).as_bytes());
                let expected = known.get(&number).filter(|record| record.secret(&digest).is_some());
                let found = keyring.find(&digest);
                prop_assert!(found.map(Arc::as_ptr) == expected.map(Arc::as_ptr));
            }
        }
    });
}

#[test]
fn change_of_one_key_leaves_the_other_shards_shared() {
    let keys: Vec<_> =
        (0..10_000).map(|number| key(&key_text("live", &number.to_string())).record(0)).collect();
    let before = Keyring::new(keys.iter().cloned());
    let after = before.with(Edit::replace(Some(&keys[7]), Some(&Arc::new(keys[7].revoked()))));
    let digest = keys[7].secrets().next().expect("a secret").digest;
    assert!(after.find(&digest).is_some_and(|record| record.is_revoked()));
    assert!(
        before.find(&digest).is_some_and(|record| !record.is_revoked()),
        "a published table has changed"
    );
    assert_eq!(after.len(), before.len());
    // One shard and its group are new. All others are shared.
    assert_eq!(after.shared_with(&before), (63, 4095));
}

#[test]
fn suspended_and_revoked_organizations_are_refused_with_all_their_keys() {
    let text = key_text("live", "crm");
    let mut snapshot = snapshot(definition(), [key(&text)]);
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    for (closed, refusal) in [
        (Closed::Suspended, Refusal::SuspendedOrganization),
        (Closed::Revoked, Refusal::RevokedKey),
    ] {
        snapshot.closed = Arc::new([("org_acme".into(), closed)].into());
        assert_eq!(call.refusal(&snapshot), Some(refusal));
    }
    snapshot.closed = Arc::new([("org_other".into(), Closed::Revoked)].into());
    assert_eq!(call.refusal(&snapshot), None);
}
