//! Who delivers: the partners of the file, or a simulated one in this process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use secrecy::SecretString;
use tokio::sync::Mutex;
use waybill_tasks::partner::{PartnerSettings, Partners as Calls, PartnersSettings};
use waybill_webhooks::{Adapter, Key, PartnerKeys, Trust};

use super::OpenError;
use crate::config::{Partners, Receiving, Settings};
use crate::partner_sim::{CallbackSecret, Simulator, SimulatorOptions};

/// What the embedded simulator is called as a partner.
const SIMULATED: &str = "standard";

/// How partners are called and believed.
#[derive(Debug)]
pub struct DeliveryPartners {
    /// How they are called.
    pub calls: Arc<Calls>,
    /// How their callbacks are verified.
    pub keys: Arc<PartnerKeys>,
    /// The language of each.
    pub adapters: BTreeMap<String, Adapter>,
    /// Who may knock, and how often.
    pub receiving: Receiving,
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// The simulated one, if it is in this process.
    pub simulator: Mutex<Option<Simulator>>,
}

impl DeliveryPartners {
    /// As the settings say.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        match settings
            .partners
            .as_ref()
            .ok_or(OpenError::Missing("WAYBILL_PARTNERS"))?
        {
            Partners::Simulator => {
                let mut options = SimulatorOptions::honest(random_secret().1);
                options.fail = 0.03;
                Self::simulated(options).await
            }
            Partners::File(file) => Ok(Self {
                calls: Arc::new(Calls::new(&file.calls).map_err(|error| OpenError::Partners(error.to_string()))?),
                keys: file.keys.clone(),
                adapters: file.adapters.clone(),
                receiving: file.receiving.clone(),
                file: Some(file.path.clone()),
                simulator: Mutex::new(None),
            }),
        }
    }

    /// With a simulated partner of that behaviour; its callback secret is made anew.
    pub async fn simulated(mut options: SimulatorOptions) -> Result<Self, OpenError> {
        let (text, secret) = random_secret();
        options.callback_secret = secret;
        let failed = |error: &dyn std::fmt::Display| OpenError::Partners(format!("the simulator: {error}"));
        let simulator = Simulator::start(options).await.map_err(|error| failed(&error))?;
        let partner = PartnerSettings::standard(simulator.base_url());
        let calls = PartnersSettings {
            partners: [(SIMULATED.to_owned(), partner)].into(),
            default: SIMULATED.to_owned(),
            routing: Vec::new(),
        };
        let key = Key::parse("sim", &text).map_err(|error| failed(&error))?;
        let trust = Trust::standard(vec![key]);
        Ok(Self {
            calls: Arc::new(Calls::new(&calls).map_err(|error| failed(&error))?),
            keys: Arc::new(PartnerKeys::new([(SIMULATED.to_owned(), trust)]).map_err(|error| failed(&error))?),
            adapters: [(SIMULATED.to_owned(), Adapter::Standard)].into(),
            receiving: Receiving::default(),
            file: None,
            simulator: Mutex::new(Some(simulator)),
        })
    }

    /// Stops the simulated partner, if there is one.
    pub async fn stop(&self) {
        if let Some(simulator) = self.simulator.lock().await.take() {
            simulator.stop().await;
        }
    }
}

fn random_secret() -> (SecretString, CallbackSecret) {
    let mut bytes = [0_u8; 32];
    rand::rng().fill(&mut bytes);
    let text = format!("whsec_{}", STANDARD.encode(bytes));
    let secret = text.parse().expect("32 bytes are a secret");
    (text.into(), secret)
}
