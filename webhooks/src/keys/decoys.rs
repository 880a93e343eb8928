//! Keys that nobody has: they make up the work that a partner with fewer keys, with keys of another kind, or an unknown
//! one, would save.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{Key, Material, Trust};

/// How many keys of each kind the partner with the most of them has.
#[derive(Debug)]
pub(super) struct Decoys {
    keys: [Vec<Key>; KINDS],
}

const KINDS: usize = 4;

impl Decoys {
    pub(super) fn new<'a>(partners: impl Iterator<Item = &'a Trust>) -> Self {
        // One at least, so that a receiver of tokens alone costs as much for nobody as for somebody.
        let mut most = [1, 0, 0, 0];
        for trust in partners {
            for (most, own) in most.iter_mut().zip(count(&trust.keys)) {
                *most = own.max(*most);
            }
        }
        let make: [fn() -> Material; KINDS] = [
            || Material::Sha256(random().to_vec().into()),
            || Material::Sha512(random().to_vec().into()),
            || Material::Ed25519(public()),
            || Material::Token(random()),
        ];
        let mut kinds = most.into_iter().zip(make);
        Self {
            keys: std::array::from_fn(|_| {
                let (count, make) = kinds.next().expect("as many kinds as there are");
                (0..count).map(|_| Key::of("", make())).collect()
            }),
        }
    }

    /// What is missing to the work of everyone.
    pub(super) fn filling_up(&self, own: &[Key]) -> impl Iterator<Item = &Key> {
        let own = count(own);
        let kinds = self.keys.iter().zip(own);
        kinds.flat_map(|(keys, own)| keys.iter().skip(own))
    }
}

fn count(keys: &[Key]) -> [usize; KINDS] {
    let mut counts = [0; KINDS];
    for key in keys {
        counts[kind(key)] += 1;
    }
    counts
}

fn kind(key: &Key) -> usize {
    match key.material {
        Material::Sha256(_) => 0,
        Material::Sha512(_) => 1,
        Material::Ed25519(_) => 2,
        Material::Token(_) => 3,
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random bytes");
    bytes
}

fn public() -> [u8; 32] {
    let pair = Ed25519KeyPair::from_seed_unchecked(&random()).expect("a seed has 32 bytes");
    let bytes = pair.public_key().as_ref().try_into();
    bytes.expect("an ed25519 public key has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_TOLERANCE;
    use super::*;
    use crate::partners::Adapter;

    #[test]
    fn every_partner_known_or_not_costs_the_same_work() {
        let key = |id: &str, material| Key::of(id, material);
        let secret = || Material::Sha256(random().to_vec().into());
        let partners = [
            ("in rotation", vec![key("a", secret()), key("b", secret())]),
            ("plain", vec![key("a", secret())]),
            ("by SHA-512", vec![key("a", Material::Sha512(random().to_vec().into()))]),
            ("with a public key", vec![key("a", Material::Ed25519(public()))]),
            ("with a token", vec![key("a", Material::Token(random()))]),
            ("unknown", vec![]),
        ];
        let trusts: Vec<Trust> = partners
            .into_iter()
            .map(|(_, keys)| Trust {
                adapter: Adapter::Standard,
                keys,
                tolerance: DEFAULT_TOLERANCE,
                addresses: vec![],
            })
            .collect();

        let decoys = Decoys::new(trusts.iter());

        for trust in &trusts {
            let mut work = count(&trust.keys);
            for decoy in decoys.filling_up(&trust.keys) {
                work[kind(decoy)] += 1;
            }
            assert_eq!(work, [2, 1, 1, 1], "{trust:?}");
        }
    }
}
