//! The running configuration as `GET /v1/config` shows it. It omits what may be a secret.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{
    ApiConfig, Config, LogFormat, Tls, TlsFiles, TlsProfile, Upstream, show_duration,
};
use crate::control::revoked::RevokedView;
use crate::policy::{
    CredentialPlace, EmptyScopes, ErrorStyle, KeyApiStyle, PassThrough, Pattern, ResetStyle,
};

/// The configuration that runs.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::control) struct RunningConfig {
    server: ServerView,
    tls: Option<TlsView>,
    admin: Option<AdminView>,
    portal: Option<PortalView>,
    log: LogView,
    store: Option<StoreView>,
    reload: ReloadView,
    apis: Vec<ApiView>,
    /// How many keys stand in the file. `GET /v1/keys?source=file` lists them.
    keys: usize,
    /// The ids of the keys that `[revoked]` names, however it does.
    revoked_keys: Vec<String>,
    /// The organizations that `[revoked]` names, as far as there are such.
    revoked_organizations: Vec<String>,
    /// What is probably not meant.
    warnings: Vec<String>,
}

/// `[server]`.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ServerView {
    listen: Vec<String>,
    trusted_proxies: Vec<String>,
    /// 0: one per core.
    workers: usize,
    max_connections: usize,
    /// 0: no limit.
    max_connections_per_address: usize,
    handshake_timeout: String,
    header_timeout: String,
    idle_timeout: String,
    body_timeout: String,
    /// In bytes a second.
    min_transfer_rate: usize,
    shutdown_delay: String,
    drain_timeout: String,
    upgrade_drain_timeout: String,
    /// In bytes.
    max_header_size: usize,
    max_headers: usize,
    max_streams: u32,
    http2_frame_budget: usize,
    core_dumps: bool,
}

/// `[server.tls]` or `[admin.tls]`: paths of files.
#[derive(Debug, Serialize, ToSchema)]
struct TlsView {
    cert: String,
    key: String,
    /// `intermediate` or `modern`.
    profile: &'static str,
    /// Served by name.
    certificate: Vec<CertificateView>,
}

/// `[[server.tls.certificate]]` or `[[admin.tls.certificate]]`.
#[derive(Debug, Serialize, ToSchema)]
struct CertificateView {
    cert: String,
    key: String,
}

/// `[admin]`.
#[derive(Debug, Serialize, ToSchema)]
struct AdminView {
    listen: String,
    tls: Option<TlsView>,
    hosts: Vec<String>,
    tokens: Vec<TokenView>,
}

/// `[[admin.token]]`.
#[derive(Debug, Serialize, ToSchema)]
struct TokenView {
    name: String,
    /// `read`, `manage` or `portal`.
    role: &'static str,
    organization: Option<String>,
}

/// `[portal]`.
#[derive(Debug, Serialize, ToSchema)]
struct PortalView {
    hosts: Vec<String>,
    return_origins: Vec<String>,
}

/// `[log]`.
#[derive(Debug, Default, Serialize, ToSchema)]
struct LogView {
    requests: bool,
    format: &'static str,
}

/// `[store]`.
#[derive(Debug, Serialize, ToSchema)]
struct StoreView {
    path: String,
    audit_retention: String,
    revoked_retention: String,
    keys_per_organization: u32,
}

/// `[reload]`.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ReloadView {
    max_removed_percent: u8,
}

/// `[api.key_api]`.
#[derive(Debug, Serialize, ToSchema)]
struct KeyApiView {
    path: String,
    style: &'static str,
    scope: Option<String>,
    create: bool,
}

/// `[[api]]`.
#[derive(Debug, Serialize, ToSchema)]
struct ApiView {
    name: String,
    hosts: Vec<String>,
    base_path: String,
    /// Those of environments after the one for traffic without a key.
    upstreams: Vec<String>,
    credentials: Vec<String>,
    environments: Vec<EnvironmentView>,
    scopes: Vec<ScopeView>,
    public: Vec<String>,
    pass_through: Vec<String>,
    pass_through_allows: Vec<String>,
    rate_limit: Vec<String>,
    rate_limit_reset: &'static str,
    rate_limit_draft: bool,
    errors: &'static str,
    errors_distinguish: bool,
    empty_scopes: &'static str,
    case_insensitive_paths: bool,
    host_header: &'static str,
    /// Their names; the values may be secrets.
    upstream_headers: Vec<String>,
    /// Passed on from trusted proxies only.
    proxy_headers: Vec<String>,
    key_api: Option<KeyApiView>,
    cors: Option<CorsView>,
    expiry_warning: String,
    expiry_header: bool,
    connect_timeout: String,
    response_timeout: String,
    idle_timeout: String,
    request_timeout: String,
    keep_alive: String,
    /// In bytes.
    max_body_size: usize,
    max_requests: usize,
}

/// `[api.cors]`.
#[derive(Debug, Serialize, ToSchema)]
struct CorsView {
    /// `*` alone is any.
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    expose_headers: Vec<String>,
    /// In seconds.
    max_age: u64,
    credentials: bool,
}

/// One of an API's `environments`.
#[derive(Debug, Serialize, ToSchema)]
struct EnvironmentView {
    name: String,
    prefix: String,
}

/// `[api.scopes."…"]`.
#[derive(Debug, Serialize, ToSchema)]
struct ScopeView {
    name: String,
    description: String,
    allows: Vec<String>,
}

impl RunningConfig {
    /// Returns the view of this configuration, and of what its `[revoked]` matches.
    // Longer than 60 lines: each setting once.
    pub(super) fn of(config: &Config, revoked: RevokedView) -> Self {
        let server = &config.server;
        Self {
            server: ServerView {
                listen: texts(&server.listen),
                trusted_proxies: texts(&server.trusted_proxies),
                workers: server.workers,
                max_connections: server.max_connections,
                max_connections_per_address: server.max_connections_per_address,
                handshake_timeout: show_duration(server.handshake_timeout),
                header_timeout: show_duration(server.header_timeout),
                idle_timeout: show_duration(server.idle_timeout),
                body_timeout: show_duration(server.body_timeout),
                min_transfer_rate: server.min_transfer_rate,
                shutdown_delay: show_duration(server.shutdown_delay),
                drain_timeout: show_duration(server.drain_timeout),
                upgrade_drain_timeout: show_duration(server.upgrade_drain_timeout),
                max_header_size: server.max_header_size,
                max_headers: server.max_headers,
                max_streams: server.max_streams,
                http2_frame_budget: server.http2_frame_budget,
                core_dumps: server.core_dumps,
            },
            tls: config.tls.as_ref().map(tls),
            admin: config.admin.as_ref().map(|admin| AdminView {
                listen: admin.listen.to_string(),
                tls: admin.tls.as_ref().map(tls),
                hosts: admin.hosts.clone(),
                tokens: admin
                    .tokens
                    .iter()
                    .map(|token| TokenView {
                        name: token.name.clone(),
                        role: token.role.name(),
                        organization: token.organization.clone(),
                    })
                    .collect(),
            }),
            portal: config.portal.as_ref().map(|portal| PortalView {
                hosts: texts(&portal.hosts),
                return_origins: texts(&portal.return_origins),
            }),
            log: LogView {
                requests: config.log.requests,
                format: match config.log.format {
                    LogFormat::Auto => "auto",
                    LogFormat::Json => "json",
                    LogFormat::Text => "text",
                },
            },
            store: config.store.as_ref().map(|store| StoreView {
                path: store.path.display().to_string(),
                audit_retention: show_duration(store.audit_retention),
                revoked_retention: show_duration(store.revoked_retention),
                keys_per_organization: store.keys_per_organization,
            }),
            reload: ReloadView { max_removed_percent: config.reload.max_removed_percent },
            apis: config.apis.iter().map(|api| self::api(api)).collect(),
            keys: config.keys.len(),
            revoked_keys: revoked.keys,
            revoked_organizations: revoked.organizations,
            warnings: texts(config.warnings.iter().chain(&revoked.warnings)),
        }
    }
}

// Longer than 60 lines: each setting once.
fn api(config: &ApiConfig) -> ApiView {
    let api = &config.definition;
    let credential = |place: &CredentialPlace| match place {
        CredentialPlace::Bearer => "bearer".to_owned(),
        CredentialPlace::Header(name) => format!("header:{name}"),
    };
    let pass_through = |place: &PassThrough| match place {
        PassThrough::Header(name) => format!("header:{name}"),
        PassThrough::Cookie(name) => format!("cookie:{name}"),
    };
    ApiView {
        name: api.name.to_string(),
        hosts: texts(&api.hosts),
        base_path: api.base_path.to_string(),
        upstreams: config.upstreams.iter().map(Upstream::url).collect(),
        credentials: api.credentials.iter().map(credential).collect(),
        environments: api
            .environments
            .iter()
            .map(|environment| EnvironmentView {
                name: environment.name.to_string(),
                prefix: environment.prefix.to_string(),
            })
            .collect(),
        scopes: api
            .scopes
            .iter()
            .map(|scope| ScopeView {
                name: scope.name.to_string(),
                description: scope.description.to_string(),
                allows: texts::<Pattern>(&scope.allows),
            })
            .collect(),
        public: texts(&api.public),
        pass_through: api.pass_through.iter().map(pass_through).collect(),
        pass_through_allows: texts(&api.pass_through_allows),
        rate_limit: texts(&*api.rate_limit),
        rate_limit_reset: match api.rate_limit_reset {
            ResetStyle::Seconds => "seconds",
            ResetStyle::Epoch => "epoch",
        },
        rate_limit_draft: api.rate_limit_draft,
        errors: match api.errors {
            ErrorStyle::Problem => "problem",
            ErrorStyle::Detail => "detail",
            ErrorStyle::Envelope => "envelope",
        },
        errors_distinguish: api.errors_distinguish,
        empty_scopes: match api.empty_scopes {
            EmptyScopes::None => "none",
            EmptyScopes::All => "all",
        },
        case_insensitive_paths: api.case_insensitive_paths,
        host_header: if config.rewrite_host { "upstream" } else { "keep" },
        upstream_headers: api.upstream_headers.iter().map(|(name, _)| name.to_string()).collect(),
        proxy_headers: texts(&api.proxy_headers),
        cors: api.cors.as_ref().map(|cors| CorsView {
            origins: if cors.origins.is_empty() {
                vec!["*".to_owned()]
            } else {
                texts(&cors.origins)
            },
            methods: texts(&cors.methods),
            headers: texts(&cors.headers),
            expose_headers: texts(&cors.expose_headers),
            max_age: cors.max_age,
            credentials: cors.credentials,
        }),
        key_api: api.key_api.as_ref().map(|endpoints| KeyApiView {
            path: endpoints.path.to_string(),
            style: match endpoints.style {
                KeyApiStyle::Bare => "bare",
                KeyApiStyle::Envelope => "envelope",
            },
            scope: endpoints.scope.as_ref().map(ToString::to_string),
            create: endpoints.create,
        }),
        expiry_warning: show_duration(Duration::from_secs(api.expiry_warning)),
        expiry_header: api.expiry_header,
        connect_timeout: show_duration(config.connect_timeout),
        response_timeout: show_duration(config.response_timeout),
        idle_timeout: show_duration(config.idle_timeout),
        request_timeout: show_duration(config.request_timeout),
        keep_alive: show_duration(config.keep_alive),
        max_body_size: config.max_body_size,
        max_requests: config.max_requests,
    }
}

fn tls(tls: &Tls) -> TlsView {
    let view = |files: &TlsFiles| CertificateView {
        cert: files.cert.display().to_string(),
        key: files.key.display().to_string(),
    };
    let CertificateView { cert, key } = view(&tls.default);
    let profile = match tls.profile {
        TlsProfile::Intermediate => "intermediate",
        TlsProfile::Modern => "modern",
    };
    TlsView { cert, key, profile, certificate: tls.further.iter().map(view).collect() }
}

fn texts<'t, T: ToString + 't>(items: impl IntoIterator<Item = &'t T>) -> Vec<String> {
    items.into_iter().map(ToString::to_string).collect()
}
