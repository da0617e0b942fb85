//! The sample API behind the demo's gateway: a support desk with tickets and customers, in memory.
//! Like the APIs that Keygate is made for, it knows nothing about API keys.

mod records;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;

use self::records::{Customers, Desk, Invalid, Tickets};

/// Limit of a request body, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

/// Starts a sample API on its own thread, which ends with the process. Returns its address.
pub(super) fn start(name: &'static str) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("there is no free port for the sample API")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        let desk = Rc::new(RefCell::new(Desk::new(name)));
        tokio::task::LocalSet::new().block_on(&runtime, async {
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept(&listener, &desk).await;
            }
        });
    };
    std::thread::Builder::new().name("support-desk".to_owned()).spawn(serve)?;
    Ok(address)
}

async fn accept(listener: &TcpListener, desk: &Rc<RefCell<Desk>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // The process is out of file descriptors, so wait until some are free.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let desk = desk.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, &desk));
            // Disconnecting clients are not reported.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A response other than success.
#[derive(Debug)]
enum Problem {
    NotFound,
    /// The methods that the path allows.
    MethodNotAllowed(&'static str),
    TooLarge,
    BadBody(String),
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::NoSuchRecord => Self::NotFound,
            Invalid::Body(why) => Self::BadBody(why),
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    desk: &RefCell<Desk>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(route(request, desk).await.unwrap_or_else(|problem| {
        let (status, error) = match &problem {
            Problem::NotFound => (StatusCode::NOT_FOUND, "there is nothing at this address"),
            Problem::MethodNotAllowed(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "this address does not know this method")
            }
            Problem::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB"),
            Problem::BadBody(why) => (StatusCode::BAD_REQUEST, why.as_str()),
        };
        let mut response = json(status, &serde_json::json!({ "error": error }));
        if let Problem::MethodNotAllowed(methods) = problem {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }))
}

async fn route(
    request: Request<Incoming>,
    desk: &RefCell<Desk>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let (head, body) = request.into_parts();
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    let reading = head.method == Method::GET || head.method == Method::HEAD;
    match path.as_slice() {
        ["status"] if reading => Ok(json(StatusCode::OK, &desk.borrow().status())),
        ["status"] => Err(Problem::MethodNotAllowed("GET, HEAD")),
        ["api", "v1", "tickets"] => collection::<Tickets>(&head.method, body, desk).await,
        ["api", "v1", "customers"] => collection::<Customers>(&head.method, body, desk).await,
        ["api", "v1", "tickets", id] => record::<Tickets>(&head.method, id, body, desk).await,
        ["api", "v1", "customers", id] => record::<Customers>(&head.method, id, body, desk).await,
        _ => Err(Problem::NotFound),
    }
}

/// Handles a collection: GET lists its records, POST adds one.
async fn collection<K: records::Kind>(
    method: &Method,
    body: Incoming,
    desk: &RefCell<Desk>,
) -> Result<Response<Full<Bytes>>, Problem> {
    match *method {
        Method::GET | Method::HEAD => {
            Ok(json(StatusCode::OK, &serde_json::json!({ K::NAME: K::list(&desk.borrow()) })))
        }
        Method::POST => {
            let body = read(body).await?;
            let mut desk = desk.borrow_mut();
            let (id, record) = K::create(&mut desk, &body)?;
            let mut response = json(StatusCode::CREATED, &record);
            if let Ok(location) = format!("/api/v1/{}/{id}", K::NAME).parse() {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
        _ => Err(Problem::MethodNotAllowed("GET, HEAD, POST")),
    }
}

/// Handles one record: GET returns it, PATCH changes it.
async fn record<K: records::Kind>(
    method: &Method,
    id: &str,
    body: Incoming,
    desk: &RefCell<Desk>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let id: usize = id.parse().map_err(|_| Problem::NotFound)?;
    match *method {
        Method::GET | Method::HEAD => Ok(json(StatusCode::OK, &K::show(&desk.borrow(), id)?)),
        Method::PATCH => {
            let body = read(body).await?;
            Ok(json(StatusCode::OK, &K::change(&mut desk.borrow_mut(), id, &body)?))
        }
        _ => Err(Problem::MethodNotAllowed("GET, HEAD, PATCH")),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Problem> {
    let body =
        Limited::new(body, LONGEST_BODY).collect().await.map_err(|error| match error
            .downcast::<LengthLimitError>(
        ) {
            Ok(_) => Problem::TooLarge,
            Err(_) => Problem::BadBody("the body broke off".to_owned()),
        })?;
    Ok(body.to_bytes())
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    // Serialising fails only for maps with keys other than strings, and there are none here.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
