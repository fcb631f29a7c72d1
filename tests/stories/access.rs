//! Keys as people use them: the first one, one for a colleague, a profile for it, and its end.

use anyhow::Result;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use stories::{Answer, Cluster, faces};
use testkit::workspace_binary;
use wire::http::v1::{ApiKey, WhoAmI};

fn mode(file: &Path) -> Result<u32> {
    Ok(std::fs::metadata(file)?.permissions().mode() & 0o777)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_handed_over_used_and_taken_back() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    let address = format!("http://{}", cluster.add_guarded_coordinator().await?);
    let text = |path: &Path| path.to_string_lossy().into_owned();

    // the first start made a key, told where it lies, and did not tell the key
    let first = cluster.admin_key_file();
    let admin = std::fs::read_to_string(&first)?.trim().to_owned();
    assert_eq!(mode(&first)?, 0o600);
    let log = cluster.coordinators[0].output();
    assert!(log.contains(&text(&first)) && !log.contains(&admin), "{log}");

    let with = async |key: &Path, arguments: &[&str]| -> Result<Answer> {
        let environment = [("CFX_API_KEY_FILE", text(key)), ("CFX_SERVER", address.clone())];
        cluster.cfx_with(&environment, arguments).await
    };
    let without = cluster.cfx(["--server", &address, "job", "list"]).await?.expect_code(1);
    assert!(without.stderr.contains("[unauthenticated]") && without.stderr.contains("CFX_API_KEY_FILE"), "{without:?}");
    let who: WhoAmI = with(&first, &["whoami", "--json"]).await?.expect_code(0).json()?;
    assert_eq!((who.scope.name(), who.projects), ("admin", None));

    // one for a colleague, in a file of theirs
    let ada = cluster.folder().join("ada.key");
    let create =
        ["key", "create", "ada", "--scope", "submit", "--for", "lab", "--days", "30", "--to", &text(&ada), "--json"];
    let key: ApiKey = with(&first, &create).await?.expect_code(0).json()?;
    assert_eq!((mode(&ada)?, key.project.as_deref()), (0o600, Some("lab")));
    let pictures = cluster.folder().join("pictures");
    std::fs::create_dir_all(&pictures)?;
    for picture in faces(2)? {
        std::fs::write(pictures.join(&picture.name), &picture.bytes)?;
    }
    with(&ada, &["dataset", "add", "faces", &text(&pictures)]).await?.expect_code(0);
    let refused = with(&ada, &["project", "set", "lab", "--weight", "9"]).await?.expect_code(1);
    assert!(refused.stderr.contains("[insufficient_scope]"), "{refused:?}");
    let refused = with(&ada, &["--project", "default", "dataset", "list"]).await?.expect_code(1);
    assert!(refused.stderr.contains("[wrong_project]"), "{refused:?}");

    // which logs in, once, and then needs nothing but the profile
    let config = cluster.folder().join("cfx.toml");
    let mut login = Command::new(workspace_binary("cfx")?);
    login.args(["login", "--config", &text(&config), "--profile", "lab", "--server", &address]);
    let mut child = login.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&std::fs::read(&ada)?)?;
    }
    let said = child.wait_with_output()?;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).contains("submit in lab"));
    assert_eq!((mode(&config)?, mode(&cluster.folder().join("lab.key"))?), (0o600, 0o600));
    // `CFX_SERVER` of the harness is another coordinator of the same installation: the profile's key does not go there
    let own = ["--config", &text(&config), "--server", &address];
    let list = cluster.cfx(own.into_iter().chain(["dataset", "list"])).await?.expect_code(0);
    assert!(list.stdout.contains("faces"), "{list:?}");
    let shown = cluster.cfx(own.into_iter().chain(["config", "show"])).await?.expect_code(0).stdout;
    let secret = std::fs::read_to_string(&ada)?.trim()[37..].to_owned();
    assert!(shown.contains("lab") && shown.contains("***") && !shown.contains(&secret), "{shown}");
    let elsewhere = cluster.cfx(["--config", &text(&config), "config", "show"]).await?.expect_code(0).stdout;
    assert!(!elsewhere.contains("***"), "{elsewhere}");

    // taken back
    let keys: Vec<ApiKey> = with(&first, &["key", "list", "--json"]).await?.expect_code(0).json()?;
    assert!(keys.iter().any(|listed| listed.id == key.id && listed.last_used_at.is_some()));
    with(&first, &["key", "revoke", &key.id.to_string()]).await?.expect_code(0);
    let refused = with(&ada, &["dataset", "list"]).await?.expect_code(1);
    assert!(refused.stderr.contains("[revoked_key]"), "{refused:?}");
    let log = with(&first, &["audit-log"]).await?.expect_code(0).stdout;
    for words in ["api_key.create", "api_key.revoke", "ada (key_", "lab"] {
        assert!(log.contains(words), "{words}: {log}");
    }

    // whoever runs the database is never locked out
    let (success, printed) = cluster.coordinator_verb(&["api-key", "create", "spare"]).await?;
    let spare = printed.lines().find(|line| line.starts_with("cfx_")).unwrap_or_default().to_owned();
    assert!(success, "{printed}");
    let environment = [("CFX_API_KEY", spare), ("CFX_SERVER", address.clone())];
    let who: WhoAmI = cluster.cfx_with(&environment, &["whoami", "--json"]).await?.expect_code(0).json()?;
    assert_eq!(who.scope.name(), "admin");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_man_pages_are_written_without_a_server() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let cfx = |arguments: &[&str]| -> Result<String> {
        let output =
            Command::new(workspace_binary("cfx")?).args(arguments).env("CFX_CONFIG", "/nonexistent").output()?;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(cfx(&["completions", shell])?.contains("audit-log"), "{shell}");
    }
    let pages = folder.path().join("man");
    cfx(&["man", &pages.to_string_lossy()])?;
    for page in ["cfx.1", "cfx-job-submit.1", "cfx-key-create.1"] {
        assert!(std::fs::read_to_string(pages.join(page))?.contains(".TH"), "{page}");
    }
    Ok(())
}
