//! Keys that nobody has: they make up the work over the body that a partner with fewer keys, with keys of another kind, or
//! an unknown one, would save.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{Key, Material, Trust};
use crate::claim::Claim;

/// As many keys of each kind as the partner with the most of them has.
#[derive(Debug)]
pub(super) struct Decoys {
    keys: [Vec<Key>; KINDS],
}

/// The kinds of keys that read the body. A token is compared with what was shown, and reads nothing.
const KINDS: usize = 3;

impl Decoys {
    pub(super) fn new<'a>(partners: impl Iterator<Item = &'a Trust>) -> Self {
        let mut most = [0; KINDS];
        for trust in partners {
            for (most, own) in most.iter_mut().zip(count(&trust.keys)) {
                *most = own.max(*most);
            }
        }
        let make: [fn() -> Material; KINDS] = [
            || Material::Sha256(random().to_vec().into()),
            || Material::Sha512(random().to_vec().into()),
            || Material::Ed25519(public()),
        ];
        let mut kinds = most.into_iter().zip(make);
        Self {
            keys: std::array::from_fn(|_| {
                let (count, make) = kinds.next().expect("as many kinds as there are");
                (0..count).map(|_| Key::of("", make())).collect()
            }),
        }
    }

    /// Tries what is missing to the work of everyone.
    pub(super) fn make_up(&self, claim: &Claim<'_>, own: &[Key]) {
        for decoy in self.filling_up(own) {
            std::hint::black_box(claim.is_proven_by(decoy));
        }
    }

    fn filling_up(&self, own: &[Key]) -> impl Iterator<Item = &Key> {
        let own = count(own);
        let kinds = self.keys.iter().zip(own);
        kinds.flat_map(|(keys, own)| keys.iter().skip(own))
    }
}

fn count(keys: &[Key]) -> [usize; KINDS] {
    let mut counts = [0; KINDS];
    for kind in keys.iter().filter_map(kind) {
        counts[kind] += 1;
    }
    counts
}

fn kind(key: &Key) -> Option<usize> {
    match key.material {
        Material::Sha256(_) => Some(0),
        Material::Sha512(_) => Some(1),
        Material::Ed25519(_) => Some(2),
        Material::Token(_) => None,
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
    fn every_partner_known_or_not_costs_the_same_work_over_the_body() {
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
            for kind in decoys.filling_up(&trust.keys).filter_map(kind) {
                work[kind] += 1;
            }
            assert_eq!(work, [2, 1, 1], "{trust:?}");
        }
    }
}
