//! The text that the demo prints for its user.

use std::path::Path;

use super::folder;
use super::plan::Demo;
use crate::cli::reachable::reachable;

// Longer than 60 lines: one text, as the user reads it.
pub(super) fn text(demo: &Demo, config: &Path, kept: bool) -> String {
    let url = format!("https://{}", reachable(demo.listen));
    let curl = format!("curl -sS --cacert {}", quoted(&demo.folder.join(folder::CERTIFICATE)));
    let status_only = r"-o /dev/null -w '%{http_code}\n'";
    let with = |key: &str| format!("-H 'Authorization: Bearer {key}'");
    let (reader, agent, tester) =
        (with(&demo.keys.reader), with(&demo.keys.agent), with(&demo.keys.tester));
    let config = config.display();
    let (nothing_revoked, reader_revoked) = (folder::NOTHING_REVOKED, folder::READER_REVOKED);
    let (folder, admin, listen) = (demo.folder.display(), demo.admin, demo.listen);
    let afterwards = if kept {
        "The folder stays."
    } else {
        "The folder is then removed; `keygate demo --dir NAME` keeps it."
    };
    format!(
        r#"This is Keygate in front of a small support-desk API.

  gateway   {url} (listens on {listen})
  folder    {folder}
  file      {config}

The keys were made just now, and the file has only their digests:

  key_reader  {reader_key}  may look at tickets
  key_agent   {agent_key}  may do everything
  key_tester  {tester_key}  test environment, 5 requests a minute

Paste these lines into another terminal.

What is public needs no key: 200
  {curl} -i {url}/status

A key that may read tickets reads them: 200
  {curl} -i {url}/api/v1/tickets {reader}

Without a key nothing gets through: 401
  {curl} -i {url}/api/v1/tickets

The same key may not create tickets: 403, and the answer names the scope that is missing
  {curl} -i {url}/api/v1/tickets {reader} --json '{{"subject": "A question", "customer_id": 1}}'

The agent's key may: 201
  {curl} -i {url}/api/v1/tickets {agent} --json '{{"subject": "A question", "customer_id": 1}}'

The tester's key has its own limit: 200 five times, then 429
  for i in 1 2 3 4 5 6 7; do {curl} {status_only} {url}/api/v1/tickets {tester}; done

What Prometheus would read: 200
  curl -sS -i http://{admin}/metrics

Now revoke a key. In {config}, replace

  {nothing_revoked}

under [revoked] by

  {reader_revoked}

and save. There is nothing to restart: the log says what has changed, and the line above that reads
tickets, answered by 200 until now, is answered by 401. Take it back, and it works again.

Ctrl-C ends the demo. {afterwards}
"#,
        reader_key = *demo.keys.reader,
        agent_key = *demo.keys.agent,
        tester_key = *demo.keys.tester,
    )
}

/// Quotes a path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = path
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character));
    if plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_the_shell_would_split_them() {
        assert_eq!(
            quoted(Path::new("/tmp/keygate-demo-1/cert.pem")),
            "/tmp/keygate-demo-1/cert.pem"
        );
        assert_eq!(quoted(Path::new("/home/my files/it's")), r"'/home/my files/it'\''s'");
    }
}
