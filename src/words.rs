//! The words of the pages. Each can be set by its name, so that a page says what the documents of
//! its host say: `[portal.texts]`.

use std::borrow::Cow;

/// Makes the table and the ways into it from one list of names and English texts.
macro_rules! texts {
    ($($name:ident: $english:literal,)*) => {
        /// One text each; the field's name says where it stands.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "a text's name and its English say what it is")]
        pub struct Texts {
            $(pub $name: Cow<'static, str>,)*
        }

        impl Default for Texts {
            /// In English.
            fn default() -> Self {
                Self { $($name: Cow::Borrowed($english),)* }
            }
        }

        impl Texts {
            /// The names of all texts.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Sets one text. Returns false if there is none of this name.
            pub fn set(&mut self, name: &str, value: String) -> bool {
                match name {
                    $(stringify!($name) => self.$name = Cow::Owned(value),)*
                    _ => return false,
                }
                true
            }
        }
    };
}

texts! {
    // Messages and titles that the handlers choose.
    back: "Back",
    open_title: "Manage API keys",
    continue_title: "One moment",
    ended_title: "Your session has ended",
    ended_text: "Open this page again from the product that you came from.",
    signed_out_title: "You have signed out",
    signed_out_text: "You can close this page.",
    link_used_title: "This link no longer works",
    link_used_text: "A link works once, for five minutes. Open this page again from your product.",
    too_often_title: "Too many attempts",
    too_often_text: "Wait a minute, then open the page again.",
    foreign_title: "This request came from elsewhere",
    foreign_text: "Nothing was done. Open the page again, and repeat it there.",
    other_session_title: "Another session is open",
    other_session_text: "This form belongs to another session of this browser. Nothing was done.",
    not_found_page_title: "Not found",
    not_found_page_text: "There is no such page, or you may not see it.",
    forbidden_title: "Not permitted",
    forbidden_text: "This session may not do that. Nothing was done.",
    stale_title: "The key was changed meanwhile",
    stale_text: "Nothing was saved. Go back to the key, and make the change again.",
    failed_title: "That did not work",
    failed_text: "Try it again in a moment.",
    new_key_title: "New API key",
    review_title: "Check the new API key",
    key_shown_title: "Your API key",
    already_shown_title: "This key was made already",
    edit_title: "Edit API key",
    rotate_title: "Rotate API key",
    revoke_title: "Revoke API key",
    revoked_notice: "The key is revoked. Requests with it are refused from now on.",
    no_expiry: "Choose when the key expires",
    no_permission: "Choose at least one permission",
    no_date: "Choose the day on which the key expires",
    no_grace: "Choose how long the old key goes on working",
    nothing_pasted: "Paste a key or its digest",
    confirm_differs: "This is not the name of the key",
    expiry_keep: "As it is",
    expiry_30_days: "In 30 days",
    expiry_90_days: "In 90 days",
    expiry_365_days: "In a year",
    expiry_date: "On a date",
    expiry_never: "Never",
    grace_none: "At once",
    grace_hour: "In an hour",
    grace_day: "In a day",
    grace_week: "In a week",
    environment_test_hint: "For trying things out",
    environment_live_hint: "For real data",
    period_day: "The last day, by hour",
    period_week: "The last 7 days",
    period_month: "The last 30 days",
    period_quarter: "The last 90 days",
    any_state: "All but revoked",
    any_environment: "All environments",
    any_scope: "All scopes",
    sort_created: "Newest first",
    sort_name: "Name",
    sort_last_used: "Last used",
    sort_expires: "Expires first",
    // Every page.
    skip_link: "Skip to the content",
    navigation: "Pages",
    signed_in_as: "as",
    sign_out: "Sign out",
    times_utc: "All times are UTC.",
    times_local: "Times are in your time zone. Days and hours of use are UTC.",
    errors_title: "Please check these fields",
    error_prefix: "Error:",
    pages_label: "More pages",
    first_page: "First page",
    next_page: "Next page",
    unknown: "Not known",
    never: "Never",
    never_used: "Never used",
    from_network: "from",
    with_agent: "with",
    by: "by",
    cancel: "Cancel",
    search_label: "Search",
    apply_filters: "Apply",
    clear_filters: "Show all",
    show_table: "Table",

    // Titles of pages, in the navigation too.
    keys_title: "API Keys",
    use_title: "Use",
    audit_title: "Audit log",
    find_title: "Find a leaked key",

    // Hand-over and sign-in.
    open_text: "Manage the API keys of",
    open_button: "Continue",
    open_other: "This browser is signed in for",
    open_other_ends: "That session ends here when you continue.",
    open_stay: "Stay in the session that is open",
    continue_link: "Go on",

    // States and marks of a key.
    state_active: "Active",
    state_paused: "Paused",
    state_expired: "Expired",
    state_suspended: "Suspended",
    state_revoked: "Revoked",
    mark_expires_soon: "Expires soon",
    mark_failing: "Failing",
    mark_unused: "Unused",
    mark_rotating: "Two secrets",
    mark_in_file: "In the file",
    full_access: "Full access",
    no_scopes: "No scopes",

    // Columns of tables.
    column_name: "Name",
    column_key: "Key",
    column_id: "ID",
    column_organization: "Organisation",
    column_environment: "Environment",
    column_scope: "Scope",
    column_access: "Scopes",
    column_created: "Created",
    column_last_used: "Last used",
    column_expires: "Expires",
    column_month: "Last 30 days",
    column_state: "State",
    column_actions: "Actions",
    column_hour: "Hour (UTC)",
    column_day: "Day (UTC)",
    column_when: "When",
    column_who: "Who",
    column_what: "What",
    column_subject: "Key",
    column_detail: "Details",
    column_request: "Request",
    column_reason: "Reason",
    column_network: "Network",
    column_fingerprint: "Fingerprint",
    column_stops: "Stops working",
    column_requests: "Requests",

    // The list of keys.
    new_key: "New API key",
    cards_label: "Keys to look at",
    card_unused: "not used for 90 days",
    card_expiring: "expire within 14 days",
    card_never_expiring: "never expire",
    more_filters: "More filters",
    more_scopes: "more",
    card_failing: "have many refused requests",
    search_name: "Search by name",
    sort_label: "Sort by",
    filter_unused: "Not used for 90 days",
    filter_never_expires: "Never expires",
    filter_full_access: "Full access",
    filter_expiring: "Expires within 14 days",
    filter_failing: "Many refused requests",
    key_counted: "key",
    keys_counted: "keys",
    no_keys_title: "No API keys yet",
    no_keys_text: "A program that calls the API needs an API key. Make one key for each program: \
        then you can revoke it alone.",
    first_call: "The first call looks like this:",
    no_match_title: "No key matches",
    no_match_text: "Revoked keys are shown only if you ask for them.",
    revoke_link: "Revoke",

    // The form of a key.
    name_label: "Name",
    name_hint: "What uses the key, such as “CRM integration”.",
    apis_label: "APIs",
    apis_hint: "Which APIs the key opens.",
    environment_label: "Environment",
    environment_hint: "This cannot be changed later.",
    access_label: "Permissions",
    access_hint: "Choose only what the program needs.",
    full_access_hint: "The key may call every endpoint, also those that are added later.",
    no_scopes_hint: "This API has no scopes to choose from.",
    endpoints_opened: "Endpoints",
    expiry_label: "Expires",
    expiry_hint: "The key stops working at this time (UTC).",
    expiry_date_label: "Date",
    restrictions_label: "Restrictions",
    restrictions_hint: "Addresses, referrers, endpoints, rate limit",
    addresses_label: "Allowed IP addresses",
    addresses_hint: "Addresses or networks such as 203.0.113.0/24, one a line. Empty: any.",
    referrers_label: "Allowed referrers",
    referrers_hint: "Such as https://app.example.com/*, one a line. Empty: any.",
    endpoints_label: "Allowed endpoints",
    endpoints_hint: "Such as GET /api/v1/tickets, one a line. Empty: all that it may use.",
    limit_label: "Rate limit",
    limit_hint: "Such as 100/min. Empty: the limit of the API.",
    usual_limit: "The limit of the API is",
    review_button: "Continue",
    review_hint: "The key is shown once, after it is made.",
    create_button: "Create key",
    change_button: "Change",
    save_button: "Save changes",
    edit_hint: "Changes apply from the next request on.",

    // What is asked for, in sentences.
    sentence_name: "This makes the key “{name}”.",
    sentence_environment: "It is a {environment} key.",
    sentence_apis: "It opens {apis}.",
    sentence_full_access: "It has full access.",
    sentence_no_scopes: "It has no scopes.",
    sentence_scopes: "It may use {scopes}.",
    sentence_expires: "It expires on {day}.",
    sentence_never_expires: "It never expires.",
    sentence_addresses: "It works only from {addresses}.",
    sentence_referrers: "It works only with the referrers {referrers}.",
    sentence_endpoints: "It may call only {endpoints}.",
    sentence_limit: "It is limited to {limit}.",

    // The key, once.
    copy_now_title: "Copy your key now",
    copy_now_text: "This is the only time that it is shown. Store it where the program reads its \
        secrets, not in its source code.",
    the_key_label: "Your new API key",
    copy_key: "Copy key",
    copy_call: "Copy call",
    copied: "Copied.",
    copy_failed: "Your browser did not allow copying. The text is selected: copy it with the \
        keyboard.",
    try_it_title: "Try it",
    try_it_text: "Paste this into a terminal:",
    stored_link: "I have stored it",
    old_secret_until: "The old secret works until",
    old_secret_stopped: "The old secret has stopped working.",
    already_shown_text: "The key was made already. It was shown once and cannot be shown again.",
    already_shown_ways: "If you did not store it, rotate it for a new secret, or revoke it.",
    view_key: "View key",

    // One key.
    facts_label: "Settings of the key",
    edit_link: "Edit",
    pause_button: "Pause",
    resume_button: "Resume",
    rotate_link: "Rotate",
    no_limit: "None",
    limit_of_api: "of the API",
    highest_minute: "Highest minute",
    of_limit: "of",
    usage_by_hour: "Requests by hour",
    usage_by_day: "Requests by day",
    request_counted: "request",
    requests_counted: "requests",
    outcome_ok: "OK",
    outcome_client: "Client error",
    outcome_limited: "Limited",
    outcome_refused: "Refused",
    outcome_failed: "Failed",
    refusals_title: "Recent refusals",
    refusals_hint: "Kept in memory only, so a restart empties this list.",
    refusals_empty: "No request was refused.",
    explain_link: "Explain",
    secrets_title: "Secrets",
    secrets_hint: "Both are accepted while the key is rotated.",
    stops_with_key: "With the key",
    audit_empty: "No entries.",

    // Rotating and revoking.
    consequence_used: "Used {when}.",
    consequence_used_from: "Used {when} from {network}.",
    consequence_never_used: "Never used.",
    consequence_refused: "Requests with this key are refused from the next one on.",
    consequence_final: "This cannot be undone.",
    rotate_text: "The key gets a new secret. Its name, permissions and limits stay.",
    rotate_used: "The old secret was last used {when}.",
    rotate_used_from: "The old secret was last used {when} from {network}.",
    rotate_never_used: "The old secret was never used.",
    grace_label: "When does the old secret stop working?",
    grace_hint: "Until then both secrets work.",
    rotate_button: "Rotate key",
    confirm_label: "Type the name of the key",
    confirm_hint: "The key was used in the last 7 days. To revoke it, type its name:",
    reason_label: "Reason (optional)",
    reason_hint: "For the audit log.",
    descendants_label: "Revoke the keys that it made too",
    descendants_hint: "Keys:",
    revoke_button: "Revoke key",

    // Finding a key.
    find_text: "Paste a key that was found in a wrong place. You learn which key it is and can \
        revoke it.",
    find_label: "Key, or its SHA-256",
    find_hint: "It is hashed in the gateway, and neither logged nor stored.",
    find_hint_script: "It is hashed in your browser. Only its SHA-256 is sent.",
    find_button: "Find key",
    found_title: "This is one of your keys",
    not_found_title: "No such key",
    not_found_text: "It opens no key that you can see here. Check that the whole key was pasted.",

    // Use and audit.
    period_label: "Period",
    use_all_keys: "Use of all keys",
    use_by_key: "By key",
    use_empty: "No key was used in this time.",
    audit_subject: "Key ID",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_can_be_set_by_its_name() {
        let mut texts = Texts::default();
        for name in Texts::NAMES {
            assert!(texts.set(name, format!("their {name}")), "{name}");
        }
        assert_eq!(texts.new_key, "their new_key");
        assert_eq!(texts.audit_subject, "their audit_subject");
    }

    #[test]
    fn a_name_that_does_not_exist_is_told() {
        let mut texts = Texts::default();
        assert!(!texts.set("no_such_text", "x".into()));
        assert_eq!(texts, Texts::default());
    }
}
