//! Builds what the workers serve with, except for the keys, from a checked configuration. Carries
//! over what must survive an edit: statistics and upstream connections.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ServerConfig};
use sha2::Digest as _;

use crate::config::{
    ApiConfig, BadCertificate, Config, MOST_PEM, Protocol, Server, Upstream, read_file, root_store,
};
use crate::policy::Routes;
use crate::state::{ApiState, Runtime, UpstreamState, api_stats};

/// Builds every [`Runtime`]. Lives as long as the process.
#[derive(Debug)]
pub(super) struct RuntimeBuilder {
    workers: usize,
    /// Limit of client connections that the system allows.
    most_connections: usize,
    next_upstream: u64,
    provider: Arc<CryptoProvider>,
    clients: HashMap<ClientKey, Client>,
}

/// The file of certificate authorities, and whether HTTP/2 is used.
type ClientKey = (Option<PathBuf>, bool);

#[derive(Debug)]
struct Client {
    /// The SHA-256 digest of the authorities' file, or `None` without a readable file.
    digest: Option<[u8; 32]>,
    config: Arc<ClientConfig>,
}

impl RuntimeBuilder {
    /// Returns a builder for this many workers and at most this many client connections.
    pub(super) fn new(workers: usize, most_connections: usize) -> Self {
        Self {
            workers,
            most_connections,
            next_upstream: 0,
            provider: Arc::new(aws_lc_rs::default_provider()),
            clients: HashMap::new(),
        }
    }

    /// Builds the runtime of a configuration, and reuses parts of the running one. `tls` is the
    /// configuration of handshakes.
    ///
    /// # Errors
    /// Fails if certificate authorities cannot be read.
    pub(super) fn build(
        &mut self,
        config: &Config,
        routes: Arc<Routes>,
        tls: Option<Arc<ServerConfig>>,
        running: Option<&Runtime>,
    ) -> Result<Runtime, BadCertificate> {
        let mut apis = Vec::with_capacity(config.apis.len());
        for api in &config.apis {
            apis.push(self.api_state(api, running)?);
        }
        let (wanted, possible) = (config.server.max_connections, self.most_connections);
        if wanted > possible
            && running.is_none_or(|before| before.server.max_connections < possible)
        {
            tracing::warn!(
                max_connections = wanted,
                possible,
                "the limit of open files (ulimit -n, LimitNOFILE) allows fewer connections than \
                    `max_connections`"
            );
        }
        let server = Server { max_connections: wanted.min(possible), ..config.server.clone() };
        Ok(Runtime { routes, apis, server, tls, log_requests: config.log.requests })
    }

    fn api_state(
        &mut self,
        api: &Arc<ApiConfig>,
        running: Option<&Runtime>,
    ) -> Result<ApiState, BadCertificate> {
        let same_name = |known: &&ApiState| known.config.definition.name == api.definition.name;
        let before = running.and_then(|runtime| runtime.apis.iter().find(same_name));
        let stats = before.map_or_else(|| api_stats(self.workers), |before| before.stats.clone());
        let mut upstreams = Vec::with_capacity(api.upstreams.len());
        for settings in &api.upstreams {
            upstreams.push(self.upstream_state(settings, running)?);
        }
        Ok(ApiState { config: api.clone(), upstreams, stats })
    }

    /// Returns the running state while settings and authorities stay the same, so that its
    /// connections stay open.
    fn upstream_state(
        &mut self,
        settings: &Upstream,
        running: Option<&Runtime>,
    ) -> Result<Arc<UpstreamState>, BadCertificate> {
        let tls = match settings.protocol {
            Protocol::Http1 | Protocol::Http2 => None,
            Protocol::Http1Tls => Some(self.client_config(settings, false)?),
            Protocol::Http2Tls => Some(self.client_config(settings, true)?),
        };
        let mut known =
            running.into_iter().flat_map(|runtime| &runtime.apis).flat_map(|api| &api.upstreams);
        let same_tls = |other: &UpstreamState| {
            other.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr)
        };
        if let Some(known) = known.find(|known| known.settings == *settings && same_tls(known)) {
            return Ok(known.clone());
        }
        self.next_upstream += 1;
        let addresses = super::resolve_upstreams::literal(settings).into_iter().collect();
        Ok(Arc::new(UpstreamState {
            id: self.next_upstream,
            settings: settings.clone(),
            tls,
            addresses: ArcSwap::from_pointee(addresses),
        }))
    }

    /// Returns the TLS client for a set of authorities. Makes a new one if their file has changed.
    fn client_config(
        &mut self,
        settings: &Upstream,
        http2: bool,
    ) -> Result<Arc<ClientConfig>, BadCertificate> {
        let key = (settings.ca.clone(), http2);
        let content = settings.ca.as_ref().map(|file| read_file(file, MOST_PEM)).transpose();
        // `root_store` reports an unreadable file.
        let digest =
            content.unwrap_or_default().map(|content| sha2::Sha256::digest(content).into());
        if let Some(known) = self.clients.get(&key).filter(|known| known.digest == digest) {
            return Ok(known.config.clone());
        }
        let roots = root_store(settings.ca.as_deref())?;
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let config = Arc::new(config);
        self.clients.insert(key, Client { digest, config: config.clone() });
        Ok(config)
    }
}
