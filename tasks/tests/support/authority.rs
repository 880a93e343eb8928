//! A private certificate authority, as a company has one: nobody trusts it who was not told to.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Its files end with it.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// A new one, which has signed nothing yet.
    pub(crate) async fn new() -> Self {
        let authority = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        authority.make("authority", &["-subj", "/CN=a private authority"]).await;
        authority
    }

    /// Signs a certificate of that name, with these names of hosts, such as `DNS:localhost`.
    pub(crate) async fn sign(&self, name: &str, hosts: &str) {
        let (authority, key) = (self.certificate("authority"), self.key("authority"));
        let signed = [
            "-CA",
            &text(&authority),
            "-CAkey",
            &text(&key),
            "-subj",
            &format!("/CN={name}"),
        ]
        .map(str::to_owned);
        let hosts = format!("subjectAltName={hosts}");
        let extensions = ["-addext", "basicConstraints=CA:FALSE", "-addext", &hosts].map(str::to_owned);
        let arguments = [signed.as_slice(), extensions.as_slice()].concat();
        self.make(name, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
    }

    /// A certificate in PEM; of the authority itself it is called `authority`.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    /// Its key.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }

    /// What a URL says, so that this authority is trusted.
    pub(crate) fn trusted(&self) -> String {
        format!(
            "ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={}",
            text(&self.certificate("authority"))
        )
    }

    /// What it says beside that, to be known as the holder of a certificate.
    pub(crate) fn known_as(&self, name: &str) -> String {
        format!(
            "&ssl_certfile={}&ssl_keyfile={}",
            text(&self.certificate(name)),
            text(&self.key(name))
        )
    }

    async fn make(&self, name: &str, arguments: &[&str]) {
        let kind = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-days",
            "2",
        ];
        let output = Command::new("openssl")
            .args(kind)
            .arg("-keyout")
            .arg(self.key(name))
            .arg("-out")
            .arg(self.certificate(name))
            .args(arguments)
            .output()
            .await
            .expect("openssl is installed, as PostgreSQL needs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
