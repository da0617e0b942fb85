//! Header fields that make some server, framework or proxy assume another caller, address, host,
//! method or path, each with the document that says so.

/// Documents, and the field names that each one lists.
pub(super) const SOURCES: &[(&str, &str)] = &[
    (
        "Keygate, README",
        "X-Keygate-Auth X-Keygate-Key-Id X-Keygate-Key-Name X-Keygate-Scopes \
         X-Keygate-Environment X-Keygate-Organization X-Keygate- X-Keygate-Anything",
    ),
    ("RFC 7239", "Forwarded"),
    ("RFC 9440", "Client-Cert Client-Cert-Chain"),
    ("RFC 3875 §4.1.18 and httpoxy", "Proxy"),
    (
        "MDN, X-Forwarded-*",
        "X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Server \
         X-Forwarded-Ssl X-Forwarded-Scheme X-Forwarded-By",
    ),
    (
        "habits of PHP and Java code that looks for an address",
        "X-Forwarded X-Forward-For Forwarded-For X-Forward-Host X-Forward-Proto X-Client-IP \
         Client-IP X-Real-IP X-Cluster-Client-IP X-Originating-IP X-Remote-IP X-Remote-Addr \
         Remote-Addr Proxy-Client-IP WL-Proxy-Client-IP HTTP-Client-IP HTTP-X-Forwarded-For \
         X-ProxyUser-IP X-Original-Forwarded-For",
    ),
    (
        "Symfony, Rails, Zend and ASP.NET: overrides of method, host and path",
        "X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Original-Method \
         X-Original-URL X-Rewrite-URL X-Host X-HTTP-Host-Override X-Original-Host \
         X-Forwarded-Prefix X-Forwarded-Path X-Forwarded-Uri X-Forwarded-Method X-Scheme \
         X-URL-Scheme X-Script-Name",
    ),
    ("Next.js, CVE-2025-29927", "X-Middleware-Subrequest"),
    ("Rack::Sendfile", "X-Sendfile-Type X-Accel-Mapping"),
    (
        "CouchDB, Proxy Authentication",
        "X-Auth-CouchDB-UserName X-Auth-CouchDB-Roles X-Auth-CouchDB-Token",
    ),
    (
        "ASP.NET Core Module, behind IIS",
        "MS-ASPNETCORE-CLIENTCERT MS-ASPNETCORE-TOKEN MS-ASPNETCORE-WINAUTHTOKEN",
    ),
    ("Spinnaker, Gate", "X-Spinnaker-User X-Spinnaker-Accounts"),
    ("AWS Lambda Web Adapter", "X-Amzn-Request-Context X-Amzn-Lambda-Context"),
    (
        "Kubernetes, User impersonation",
        "Impersonate-User Impersonate-Group Impersonate-Uid Impersonate-Extra-Scopes",
    ),
    (
        "Kubernetes, Authenticating proxy",
        "X-Remote-User X-Remote-Group X-Remote-Uid X-Remote-Extra-Scopes",
    ),
    (
        "oauth2-proxy, Configuration",
        "X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username \
         X-Forwarded-Access-Token X-Auth-Request-User X-Auth-Request-Email \
         X-Auth-Request-Groups X-Auth-Request-Preferred-Username X-Auth-Request-Access-Token \
         X-Auth-Request-Redirect GAP-Auth GAP-Signature",
    ),
    ("Backstage, oauth2-proxy provider", "X-OAuth2-Proxy-ID-Token"),
    (
        "Envoy, HTTP header manipulation",
        "X-Envoy-External-Address X-Envoy-Internal X-Envoy-Original-Path \
         X-Envoy-Original-Method X-Envoy-Peer-Metadata X-Forwarded-Client-Cert",
    ),
    ("Envoy, JWT authentication", "X-JWT-Payload"),
    ("Istio, Security", "Sec-Istio-Auth-UserInfo"),
    ("Linkerd, Proxy headers", "l5d-client-id l5d-remote-ip l5d-orig-proto"),
    ("Dapr, Service invocation", "dapr-caller-app-id dapr-caller-namespace"),
    (
        "Traefik, ForwardAuth, BasicAuth and PassTLSClientCert",
        "X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info X-WebAuth-User",
    ),
    ("Authelia, Trusted header SSO", "Remote-User Remote-Groups Remote-Name Remote-Email"),
    (
        "authentik, Proxy provider",
        "X-authentik-username X-authentik-groups X-authentik-entitlements X-authentik-email \
         X-authentik-uid X-authentik-jwt X-authentik-meta-app",
    ),
    ("Pomerium, Pass identity headers", "X-Pomerium-Jwt-Assertion X-Pomerium-Claim-Email"),
    ("Vouch Proxy, README", "X-Vouch-User X-Vouch-IdP-Claims-Groups X-Vouch-IdP-AccessToken"),
    ("Caddy, authorization portal", "X-Token-Subject X-Token-User-Name X-Token-User-Email"),
    ("LemonLDAP::NG, Exported headers", "Auth-User Auth-Mail Auth-Groups Auth-CN"),
    (
        "Keycloak Gatekeeper, Claims as headers",
        "X-Auth-Userid X-Auth-Username X-Auth-Subject X-Auth-Roles X-Auth-Groups",
    ),
    (
        "Cloudflare, HTTP headers",
        "CF-Connecting-IP CF-Connecting-IPv6 CF-Pseudo-IPv4 CF-Visitor True-Client-IP",
    ),
    (
        "Cloudflare Access, Validate JWTs",
        "CF-Access-JWT-Assertion CF-Access-Authenticated-User-Email",
    ),
    (
        "Cloudflare, Managed transforms and mTLS",
        "CF-Cert-Verified CF-Cert-Presented CF-Cert-Subject-DN CF-Client-Cert-SHA256 \
         CF-Client-Cert-DER-Base64",
    ),
    ("Fastly, Headers", "Fastly-Client-IP Fastly-Client Fastly-Temp-XFF"),
    ("Fly.io, Request headers", "Fly-Client-IP Fly-Forwarded-Port Fly-Forwarded-Proto"),
    ("Vercel, Request headers", "X-Vercel-Forwarded-For X-Vercel-Proxied-For"),
    ("Netlify", "X-NF-Client-Connection-IP"),
    (
        "Akamai, True client IP; DigitalOcean, Imperva, Sucuri, Alibaba, EdgeOne",
        "True-Client-IP DO-Connecting-IP Incap-Client-IP X-Sucuri-ClientIP Ali-CDN-Real-IP \
         EO-Connecting-IP",
    ),
    ("ngrok, OAuth variables", "ngrok-auth-user-email ngrok-auth-user-id ngrok-auth-user-name"),
    (
        "Tailscale serve, Identity headers",
        "Tailscale-User-Login Tailscale-User-Name Tailscale-User-Profile-Pic \
         Tailscale-App-Capabilities Tailscale-Tailnet",
    ),
    ("Teleport, JWT for application access", "Teleport-Jwt-Assertion"),
    (
        "Google IAP, Signed headers",
        "X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-ID X-Goog-IAP-JWT-Assertion",
    ),
    (
        "Google App Engine, Request headers",
        "X-AppEngine-User-IP X-AppEngine-User-Email X-AppEngine-User-ID \
         X-AppEngine-User-Is-Admin X-AppEngine-Inbound-AppId X-AppEngine-Cron \
         X-AppEngine-QueueName X-Google-Internal-SkipAdminCheck",
    ),
    (
        "Google Cloud Endpoints and API Gateway",
        "X-Endpoint-API-UserInfo X-Endpoint-API-Consumer-Number X-Apigateway-Api-Userinfo",
    ),
    (
        "AWS, Application Load Balancer",
        "X-Amzn-Oidc-Identity X-Amzn-Oidc-Data X-Amzn-Oidc-Accesstoken X-Amzn-Mtls-Clientcert \
         X-Amzn-Mtls-Clientcert-Subject",
    ),
    (
        "AWS, VPC Lattice and API Gateway",
        "X-Amzn-Lattice-Identity X-Amzn-Lattice-Identity-Tags X-Amzn-Lattice-Network \
         X-Amzn-VPC-Id X-Amzn-VPCE-Id",
    ),
    (
        "AWS, CloudFront",
        "CloudFront-Viewer-Address CloudFront-Viewer-Cert-Subject CloudFront-Forwarded-Proto",
    ),
    (
        "Azure, App Service authentication",
        "X-MS-Client-Principal X-MS-Client-Principal-Id X-MS-Client-Principal-Name \
         X-MS-Client-Principal-Idp X-MS-Token-AAD-Access-Token X-ARR-ClientCert \
         X-WAWS-Unencoded-URL",
    ),
    ("Azure, Front Door", "X-Azure-ClientIP X-Azure-SocketIP"),
    ("Microsoft, ISA Server and Exchange", "Front-End-Https"),
    (
        "nginx and ingress-nginx, client certificates",
        "SSL-Client-Cert SSL-Client-Verify SSL-Client-Subject-DN SSL-Client-Issuer-DN \
         X-SSL-Client-Cert X-SSL-Client-Verify X-SSL-Client-S-DN X-SSL-Cert X-Client-Cert \
         X-Client-Verify",
    ),
    ("HAProxy, client certificates", "X-SSL-Client-DN X-SSL-Client-CN X-SSL-Issuer"),
    ("Puppet Server, external TLS termination", "X-Client-DN X-Client-Verify"),
    ("Apache mod_ssl", "SSL_CLIENT_S_DN SSL_CLIENT_VERIFY SSL_CLIENT_CERT"),
    ("Apache mod_auth_openidc", "OIDC_CLAIM_sub OIDC_CLAIM_email OIDC_access_token"),
    ("Apache mod_auth_mellon", "MELLON_NAME_ID MELLON_email"),
    ("Apache mod_auth_cas", "CAS-User CAS_email"),
    (
        "Shibboleth, ShibUseHeaders",
        "Shib-Session-ID Shib-Identity-Provider Shib-Application-ID eppn persistent-id \
         targeted-id pairwise-id unscoped-affiliation",
    ),
    ("SiteMinder, default headers", "SM_USER SM_USERDN SM_UNIVERSALID SM_SERVERSESSIONID"),
    ("IBM WebSEAL, identity headers", "iv-user iv-user-l iv-groups iv-creds iv-remote-address"),
    ("IBM WebSphere, plug-in headers", "$WSRU $WSRA $WSRH $WSCC $WSAT $WSIS"),
    ("Oracle Access Manager", "OAM_REMOTE_USER OAM_IDENTITY_DOMAIN Osso-User-Dn Osso-User-Guid"),
    ("Oracle WebLogic, plug-ins", "WL-Proxy-Client-Cert WL-Proxy-SSL WL-Proxy-Client-Keysize"),
    ("F5, client certificates in iRules", "SSLClientCertStatus SSLClientCertSN SSLClientCertb64"),
    ("Citrix NetScaler, client IP insertion", "Client-IP"),
    ("Blue Coat and Zscaler, proxy chaining", "X-Authenticated-User X-Authenticated-Groups"),
    (
        "Kong, Authentication and OpenID Connect",
        "X-Consumer-ID X-Consumer-Custom-ID X-Consumer-Username X-Consumer-Groups \
         X-Credential-Identifier X-Credential-Username X-Anonymous-Consumer \
         X-Authenticated-Userid X-Authenticated-Scope X-Userinfo",
    ),
    ("Apache APISIX, attach-consumer-label", "X-Consumer-Role"),
    ("WSO2, backend JWT", "X-JWT-Assertion"),
    ("OpenStack, keystonemiddleware", "X-Identity-Status"),
    (
        "Grafana, Auth proxy and data proxy",
        "X-WEBAUTH-USER X-WEBAUTH-NAME X-WEBAUTH-GROUPS X-WEBAUTH-ROLE X-Grafana-User \
         X-Grafana-Id",
    ),
    ("Jenkins, Reverse proxy auth", "X-Forwarded-User X-Forwarded-Groups X-Forwarded-Mail"),
    (
        "SonarQube and Rundeck, HTTP header authentication",
        "X-Forwarded-Login X-Forwarded-Name X-Forwarded-Uuid X-Forwarded-Roles",
    ),
    ("Posit, proxied authentication", "X-RStudio-Username X-Auth-Username"),
    (
        "OpenSearch, proxy authentication and impersonation",
        "X-Proxy-User X-Proxy-Roles X-Proxy-Ext-Department OpenSearch_Security_Impersonate_As \
         Opendistro_Security_Impersonate_As",
    ),
    ("Elasticsearch, Run as", "es-security-runas-user _xpack_security_authentication"),
];

/// Fields that legitimate clients send although their names resemble those above.
pub(super) const HONEST: &str = "\
    X-Keygates X-Keygate X-Forward X-Original X-Amzn-Trace-Id X-Amz-Date X-Amz-Security-Token \
    X-Authors X-Auth-Token X-Auth-Key X-Auth-User X-Auth-Email X-User-Agent X-User-Id \
    X-User-Email X-User-Token X-Client X-Client-Version X-Client-Id X-Client-Name X-Client-Data \
    X-Hosts X-Http-Thing X-Remotely Remotely CF-Ray CF-IPCountry Client Client-Hints Forwarding \
    Proxy-Status Traceparent Tracestate Origin X-Requested-With X-CSRF-Token X-SSL X-Token \
    X-Access-Token X-ID-Token X-Proxy-Token X-Goog-Api-Key X-Goog-User-Project \
    X-Serverless-Authorization X-MS-Date X-MS-Version X-MS-Client-Request-Id X-Grafana-Org-Id \
    X-Scope-OrgID X-Vercel-Id X-NF-Request-Id X-Identity X-JWT X-Google-Id X-Endpoint \
    ngrok-skip-browser-warning dapr-app-id Auth-Token Authority Castle Casing Smile \
    Sec-Fetch-Site Sec-CH-UA Ivory Impersonated Oidc If-Match Idempotency-Key From DPoP DNT \
    Fastly-Debug Front-Door Tailwind Telephone Walrus Mellow Link Gap Persistent Baggage \
    Signature Signature-Input Content-Digest Depth Destination Overwrite Slug X-Api-Version \
    X-Correlation-Id X-Device-Id X-Tenant-Id X-GitHub-Event X-Hub-Signature-256 \
    Stripe-Signature Stripe-Version OpenAI-Organization anthropic-version grpc-timeout \
    User-Agent Accept-Language Cache-Control";
