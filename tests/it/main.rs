//! Keygate as its users meet it: the real binary in front of a real upstream, over real sockets.

mod admin_api;
mod adversity;
mod architecture;
mod cli;
mod cli_keys;
mod crash;
mod cuts;
mod decision;
mod documents;
mod expiry;
mod explain;
mod guard;
mod harness;
mod headers;
mod hostile;
mod http2;
mod limits;
mod logs;
mod metrics;
mod office;
mod readme;
mod real;
mod reload;
mod serving;
mod stopping;
mod upgrade;
