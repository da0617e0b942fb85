CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    organization TEXT,
    apis TEXT NOT NULL,
    prefix TEXT NOT NULL,
    environment TEXT,
    scopes TEXT NOT NULL,
    allow_ips TEXT NOT NULL,
    allow_referrers TEXT NOT NULL,
    allow_endpoints TEXT NOT NULL,
    rate_limit TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    parent TEXT,
    expires_at BIGINT,
    paused BOOLEAN NOT NULL,
    revision BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_by_organization ON keys (organization, id);
CREATE INDEX keys_by_parent ON keys (parent, id);

CREATE TABLE secrets (
    key_id TEXT NOT NULL REFERENCES keys (id),
    position BIGINT NOT NULL,
    digest BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    ends_at BIGINT,
    PRIMARY KEY (key_id, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX secrets_by_digest ON secrets (digest);

CREATE TABLE revocations (
    id TEXT NOT NULL PRIMARY KEY,
    revoked_at BIGINT NOT NULL,
    revoked_by TEXT NOT NULL,
    reason TEXT
) WITHOUT ROWID;

CREATE TABLE last_uses (
    key_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, digest)
) WITHOUT ROWID;

CREATE TABLE uses (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
) WITHOUT ROWID;
CREATE INDEX uses_by_day ON uses (day, key_id);

CREATE TABLE organizations (
    name TEXT NOT NULL PRIMARY KEY,
    suspended_at BIGINT,
    key_cap BIGINT,
    revision BIGINT NOT NULL,
    live_keys BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE idempotency (
    token TEXT NOT NULL,
    request TEXT NOT NULL,
    body BLOB NOT NULL,
    key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (token, request)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    organization TEXT,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_organization ON audit (organization, sequence);
CREATE INDEX audit_by_subject ON audit (subject, sequence);

CREATE TABLE heartbeat (beats BIGINT NOT NULL);
INSERT INTO heartbeat VALUES (0);

INSERT INTO keys VALUES ('key_full', 'Ünïcode "quoted"', 'org_acme', '["desk","approvals"]', 'sk_live_', 'live',
    '["tickets:read","tickets:write"]', '["203.0.113.0/24"]', '["https://app.example.com/*"]', '["GET /tickets/**"]',
    '["10/s","100/min"]', 1800000000, 'token ops', 'key_maker', 1800001000, 1, 3);
INSERT INTO keys VALUES ('key_plain', 'name of key_plain', NULL, '["desk"]', 'sk_live_', NULL, '[]', '[]', '[]', '[]', NULL, 1800000000,
    'token ops', NULL, NULL, 0, 1);
INSERT INTO secrets VALUES ('key_full', 0, X'01a385e1df26d52e4d7cd23ea5e0b83a4f1a6f5375cc247c50ed24e58830ede3', 1800000000, NULL);
INSERT INTO secrets VALUES ('key_full', 1, X'40ab7ae8dd6275e9452399ed1f0b59061c76e0cfa1875515e71891d180031934', 1800000000, 1800000010);
INSERT INTO secrets VALUES ('key_plain', 0, X'89b59be435d76eddcf15c98e27e7663dec179479b6d7f1b99809ab658b9a3b84', 1800000000, NULL);
INSERT INTO revocations VALUES ('key_full', 1800000005, 'token ops', 'leaked');
INSERT INTO revocations VALUES ('key_of_the_file', 1800000005, 'gateway.toml', NULL);
INSERT INTO last_uses VALUES ('key_full', X'40ab7ae8dd6275e9452399ed1f0b59061c76e0cfa1875515e71891d180031934', 1800000007);
INSERT INTO last_uses VALUES ('key_of_the_file', X'7b1b763ee8f62eb88e4742a760f912d0b19bcd58b2b948999784bacc15a7f4d7', 1800000007);
INSERT INTO uses VALUES ('key_full', 20833, 12);
INSERT INTO organizations VALUES ('org_acme', 1800000000, 7, 2, 0);
INSERT INTO idempotency VALUES ('ops', 'request', X'230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5', 'key_plain', 1800000000);
INSERT INTO audit VALUES (41, 1800000000, 'token ops', 'key.create', 'somebody', NULL, '{}');
