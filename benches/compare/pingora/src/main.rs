//! A gateway with Pingora that does Keygate's job, built as Pingora's documentation suggests: keys
//! in a hash map, and counts in `pingora-limits`.
//!
//! It does less than Keygate: it has no scopes and no limit fields, and it estimates the count in
//! fixed windows.
//!
//! Usage: `pingora-peer LISTEN UPSTREAM CERT KEY MAP LIMIT WORKERS`. Each line of MAP has a key and
//! its caller.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;
use pingora::tls::ssl::SslVersion;
use pingora_limits::rate::Rate;

const REFUSAL: &str = concat!(
    r#"{"type":"about:blank","title":"Unauthorized","status":401,"#,
    r#""detail":"The API key is missing or unknown."}"#
);

struct Gateway {
    callers: HashMap<String, String>,
    used: Rate,
    limit: isize,
    upstream: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// The caller, once known.
    type CTX = Option<String>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    async fn request_filter(&self, session: &mut Session, caller: &mut Self::CTX) -> Result<bool> {
        let key = session
            .req_header()
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(known) = key.and_then(|key| self.callers.get(key)) else {
            let mut head = ResponseHeader::build(401, Some(3))?;
            head.insert_header("content-type", "application/problem+json")?;
            head.insert_header("content-length", REFUSAL.len())?;
            head.insert_header("www-authenticate", "Bearer realm=\"desk\"")?;
            session.write_response_header(Box::new(head), false).await?;
            session.write_response_body(Some(REFUSAL.into()), true).await?;
            return Ok(true);
        };
        if self.used.observe(known, 1) > self.limit {
            let mut head = ResponseHeader::build(429, Some(1))?;
            head.insert_header("content-length", 0)?;
            session.write_response_header(Box::new(head), true).await?;
            return Ok(true);
        }
        *caller = Some(known.clone());
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.upstream.clone()))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        caller: &mut Self::CTX,
    ) -> Result<()> {
        request.remove_header("authorization");
        if let Some(caller) = caller {
            request.insert_header("x-key-id", caller.as_str())?;
        }
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        request.insert_header("x-forwarded-proto", "https")
    }
}

fn main() {
    let [listen, upstream, cert, key, map, limit, workers] =
        &std::env::args().skip(1).collect::<Vec<_>>()[..]
    else {
        panic!("usage: pingora-peer LISTEN UPSTREAM CERT KEY MAP LIMIT WORKERS");
    };
    let map = std::fs::read_to_string(map).expect("the map of keys");
    let entry =
        |line: &str| line.split_once(' ').map(|(key, caller)| (key.to_owned(), caller.to_owned()));
    let gateway = Gateway {
        callers: map.lines().filter_map(entry).collect(),
        used: Rate::new(Duration::from_secs(60)),
        limit: limit.parse().expect("a limit"),
        upstream: HttpPeer::new(upstream.as_str(), false, String::new()),
    };

    let threads = workers.parse().expect("a number of workers");
    let mut server = Server::new_with_opt_and_conf(
        None,
        ServerConf { threads, upstream_keepalive_pool_size: 256, ..ServerConf::default() },
    );
    server.bootstrap();
    let mut tls = TlsSettings::intermediate(cert, key).expect("a certificate");
    tls.set_min_proto_version(Some(SslVersion::TLS1_3)).expect("TLS 1.3");
    tls.set_groups_list("X25519").expect("X25519");
    tls.enable_h2();
    let mut service = http_proxy_service(&server.configuration, gateway);
    service.add_tls_with_settings(listen, None, tls);
    server.add_service(service);
    server.run_forever();
}
