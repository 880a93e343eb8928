//! `WAYBILL_APPCONFIG_URL`.

use url::Url;
use waybill_domain::DELIVERY;

use super::reader::Value;

/// Environments of an AppConfig agent, such as `http://localhost:2772/applications/waybill/environments/production`, one a machine;
/// which machine's is said after `#`, if not that of delivery orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConfigUrl(pub Vec<Environment>);

/// Where an agent serves the graphs of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The machine.
    pub machine: String,
    /// Application and environment at the agent.
    pub url: Url,
}

impl Value for AppConfigUrl {
    const EXPECTED: &'static str = "the agent's environment, such as http://localhost:2772/applications/waybill/environments/production; \
        further ones after spaces, each with #MACHINE";

    fn parse(text: &str) -> Option<Self> {
        let environments: Vec<_> = text.split_whitespace().map(environment).collect::<Option<_>>()?;
        let is_twice =
            |(place, it): (usize, &Environment)| environments[..place].iter().any(|other| other.machine == it.machine);
        let fitting = !environments.is_empty() && !environments.iter().enumerate().any(is_twice);
        fitting.then_some(Self(environments))
    }

    fn show(&self) -> String {
        let shown: Vec<_> = self.0.iter().map(|it| format!("{}#{}", it.url, it.machine)).collect();
        shown.join(" ")
    }
}

fn environment(text: &str) -> Option<Environment> {
    let (address, machine) = text.split_once('#').unwrap_or((text, DELIVERY));
    let url = Url::parse(address.trim_end_matches('/')).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let path: Vec<&str> = url.path().split('/').collect();
    let named = matches!(path.as_slice(), ["", "applications", application, "environments", environment]
        if !application.is_empty() && !environment.is_empty());
    let is_machine = !machine.is_empty() && machine.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let fitting = matches!(url.scheme(), "http" | "https") && plain && named && is_machine;
    fitting.then(|| Environment {
        machine: machine.to_owned(),
        url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "http://localhost:2772/applications";

    #[test]
    fn each_machine_has_an_environment_and_delivery_orders_need_no_name() {
        let given =
            format!("{AGENT}/waybill/environments/prod/  {AGENT}/waybill-food-order/environments/prod#food-order");

        let read = AppConfigUrl::parse(&given).expect("two environments");

        let named: Vec<_> = read.0.iter().map(|it| (it.machine.as_str(), it.url.as_str())).collect();
        let expected = [
            ("delivery-order", format!("{AGENT}/waybill/environments/prod")),
            ("food-order", format!("{AGENT}/waybill-food-order/environments/prod")),
        ];
        assert_eq!(
            named,
            expected.each_ref().map(|(machine, url)| (*machine, url.as_str()))
        );
        assert_eq!(AppConfigUrl::parse(&read.show()), Some(read));
    }

    #[test]
    fn what_names_no_environment_or_a_machine_twice_is_refused() {
        let one = format!("{AGENT}/waybill/environments/prod");
        for wrong in [
            String::new(),
            "localhost".to_owned(),
            format!("{AGENT}/waybill"),
            format!("{one}?token=x"),
            format!("{one}#"),
            format!("{one}#Food"),
            format!("{one} {one}"),
            format!("{one}#food-order {one}#food-order"),
        ] {
            assert_eq!(AppConfigUrl::parse(&wrong), None, "{wrong:?}");
        }
    }
}
