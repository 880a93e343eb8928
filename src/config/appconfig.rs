//! `WAYBILL_APPCONFIG_URL`.

use url::Url;

use super::reader::Value;

/// The environment of an AppConfig agent, such as
/// `http://localhost:2772/applications/waybill/environments/production`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConfigUrl(pub Url);

impl Value for AppConfigUrl {
    const EXPECTED: &'static str =
        "the agent's environment, such as http://localhost:2772/applications/waybill/environments/production";

    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim_end_matches('/')).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let path: Vec<&str> = url.path().split('/').collect();
        let named = matches!(path.as_slice(), ["", "applications", application, "environments", environment]
            if !application.is_empty() && !environment.is_empty());
        (matches!(url.scheme(), "http" | "https") && plain && named && url.fragment().is_none()).then_some(Self(url))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}
