use super::*;

const FILE_ORGANIZATION: &str = "[[key]]\nid = \"key_file\"\norganization = \"org_file\"\n\
    apis = [\"desk\"]\n\
    sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";

#[tokio::test]
async fn suspended_organization_has_its_keys_refused_until_it_is_resumed() {
    let fixture = Fixture::open();
    let (_, text) = fixture.make(of_acme("one")).await;
    let (_, other) = fixture.make(desk_key("other")).await;
    let view =
        fixture.operations.set_suspended(&operator(), "org_acme", true).await.expect("suspended");
    assert_eq!(
        (view.suspended_at.as_deref(), view.keys, view.revision),
        (Some("2026-11-22T00:00:00Z"), 1, 1)
    );
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::SuspendedOrganization));
    assert_eq!(fixture.refusal(&other, "desk"), None);
    assert_eq!(fixture.operations.set_suspended(&operator(), "org_acme", true).await, Ok(view));
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::SuspendedOrganization));
    let view =
        fixture.operations.set_suspended(&operator(), "org_acme", false).await.expect("resumed");
    assert_eq!((view.suspended_at, view.revision), (None, 2));
    assert_eq!(fixture.refusal(&text, "desk"), None);
    assert_eq!(
        fixture.actions().await[..2],
        ["token ops organization.resume org_acme", "token ops organization.suspend org_acme"]
    );
}

#[tokio::test]
async fn suspension_is_in_force_and_resumption_is_not_if_the_commit_fails() {
    let fixture = Fixture::open();
    let (_, text) = fixture.make(of_acme("one")).await;
    fixture.break_store().await;
    assert_eq!(
        fixture.operations.set_suspended(&operator(), "org_acme", true).await,
        Err(ServiceError::Unavailable)
    );
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::SuspendedOrganization));
    assert_eq!(
        fixture.operations.set_suspended(&operator(), "org_acme", false).await,
        Err(ServiceError::Unavailable)
    );
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::SuspendedOrganization));
}

#[tokio::test]
async fn organizations_of_store_and_file_are_listed_page_by_page() {
    let fixture = Fixture::with(FILE_ORGANIZATION);
    for name in ["org_a", "org_b", "org_z"] {
        fixture.make(NewKey { organization: Some(name.into()), ..desk_key("one") }).await;
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = fixture
            .operations
            .organizations(&operator(), after.as_deref(), 2)
            .await
            .expect("a page");
        assert!(page.organizations.len() <= 2);
        names.extend(
            page.organizations
                .into_iter()
                .map(|organization| (organization.name, organization.keys, organization.key_cap)),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected = [("org_a", 1), ("org_b", 1), ("org_file", 0), ("org_z", 1)]
        .map(|(name, keys)| (name.to_owned(), keys, 4));
    assert_eq!(names, expected);
}

#[tokio::test]
async fn cap_is_changed_and_given_back() {
    let fixture = Fixture::open();
    fixture.make(of_acme("one")).await;
    let cap = |key_cap| OrganizationChange { key_cap: Some(key_cap) };
    let view = fixture
        .operations
        .change_organization(&operator(), "org_acme", cap(Some(0)), Some(0))
        .await
        .expect("changed");
    assert_eq!((view.key_cap, view.revision), (0, 1));
    assert_eq!(
        conflict(fixture.operations.create(&operator(), of_acme("two"), None).await).0,
        Conflict::CapReached
    );
    assert_eq!(
        fixture.operations.change_organization(&operator(), "org_acme", cap(None), Some(0)).await,
        Err(ServiceError::Stale)
    );
    let view = fixture
        .operations
        .change_organization(&operator(), "org_acme", cap(None), Some(1))
        .await
        .expect("changed");
    assert_eq!((view.key_cap, view.revision), (4, 2));
    assert_eq!(
        members(
            fixture
                .operations
                .change_organization(&operator(), "org_acme", cap(Some(1_000_001)), None)
                .await
        ),
        ["key_cap"]
    );
    assert_eq!(
        fixture.operations.change_organization(&operator(), "org_none", cap(None), None).await,
        Err(ServiceError::NotFound)
    );
}

#[tokio::test]
async fn organizations_admin_sees_its_own_and_changes_nothing_about_it() {
    let fixture = Fixture::with(FILE_ORGANIZATION);
    fixture.make(of_acme("one")).await;
    let page = fixture.operations.organizations(&acme(), None, 10).await.expect("a page");
    assert_eq!(
        page.organizations.iter().map(|organization| &*organization.name).collect::<Vec<_>>(),
        ["org_acme"]
    );
    assert_eq!(
        fixture.operations.organization(&acme(), "org_file").await,
        Err(ServiceError::NotFound)
    );
    assert_eq!(
        fixture.operations.set_suspended(&acme(), "org_file", true).await,
        Err(ServiceError::NotFound)
    );
    assert!(matches!(
        fixture.operations.set_suspended(&acme(), "org_acme", false).await,
        Err(ServiceError::Forbidden(_))
    ));
    let more = OrganizationChange { key_cap: Some(Some(1000)) };
    assert!(matches!(
        fixture.operations.change_organization(&acme(), "org_acme", more, None).await,
        Err(ServiceError::Forbidden(_))
    ));
    assert!(!fixture.registry.look(|table| table.snapshot()).closed.contains_key("org_file"));
}

#[tokio::test]
async fn organization_that_nobody_knows_is_not_suspended() {
    let fixture = Fixture::open();
    assert_eq!(
        fixture.operations.set_suspended(&operator(), "org_none", true).await,
        Err(ServiceError::NotFound)
    );
    assert!(fixture.registry.look(|table| table.snapshot()).closed.is_empty());
}
