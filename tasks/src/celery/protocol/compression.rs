//! Bodies that are compressed as a whole, in any of kombu's ways.

mod dictionary;

use std::io::{self, Read, Write as _};

/// What `xz -9` asks for.
const LARGEST_DICTIONARY: u64 = 64 * 1024 * 1024;

/// How a body is compressed. All are pure Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `application/x-gzip`: a zlib container, whatever its name says.
    Zlib,
    /// `application/x-bz2`.
    Bzip2,
    /// `application/x-lzma`: the xz format.
    Lzma,
    /// `application/x-brotli`.
    Brotli,
    /// `application/zstd`.
    Zstd,
}

/// Why a body cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotInflated {
    /// It is not what its header says.
    Broken,
    /// It would be longer than is allowed, or asks for more memory than that can need.
    TooLong,
}

impl Compression {
    /// Of the header `compression`; kombu's short names are taken too.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "application/x-gzip" | "zlib" | "gzip" => Self::Zlib,
            "application/x-bz2" | "bzip2" | "bzip" => Self::Bzip2,
            "application/x-lzma" | "lzma" | "xz" => Self::Lzma,
            "application/x-brotli" | "brotli" => Self::Brotli,
            "application/zstd" | "zstd" | "zstandard" => Self::Zstd,
            _ => return None,
        })
    }

    /// The header's value.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Zlib => "application/x-gzip",
            Self::Bzip2 => "application/x-bz2",
            Self::Lzma => "application/x-lzma",
            Self::Brotli => "application/x-brotli",
            Self::Zstd => "application/zstd",
        }
    }

    /// Compresses a body.
    pub(super) fn compress(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Zlib => {
                flate2::read::ZlibEncoder::new(body, flate2::Compression::default()).read_to_end(&mut out)?;
            }
            Self::Bzip2 => {
                bzip2::read::BzEncoder::new(body, bzip2::Compression::default()).read_to_end(&mut out)?;
            }
            Self::Lzma => {
                let mut writer = lzma_rust2::XzWriter::new(&mut out, lzma_rust2::XzOptions::with_preset(6))?;
                writer.write_all(body)?;
                writer.finish()?;
            }
            Self::Brotli => {
                brotli::CompressorReader::new(body, 4096, 5, 22).read_to_end(&mut out)?;
            }
            Self::Zstd => out = ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest),
        }
        Ok(out)
    }

    /// Inflates a body, as long as it stays within the limit.
    pub(super) fn inflate(self, body: &[u8], most: usize) -> Result<Vec<u8>, NotInflated> {
        match self {
            Self::Zlib => read(flate2::read::ZlibDecoder::new(body), most),
            Self::Bzip2 => read(bzip2::read::BzDecoder::new(body), most),
            Self::Lzma => match dictionary::largest(body).ok_or(NotInflated::Broken)? {
                ..=LARGEST_DICTIONARY => read(lzma_rust2::XzReader::new(body, false), most),
                _ => Err(NotInflated::TooLong),
            },
            Self::Brotli => read(brotli::Decompressor::new(body, 4096), most),
            Self::Zstd => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(body).map_err(|_| NotInflated::Broken)?;
                read(decoder, most)
            }
        }
    }
}

fn read(inflated: impl Read, most: usize) -> Result<Vec<u8>, NotInflated> {
    let mut out = Vec::new();
    let more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    inflated
        .take(more)
        .read_to_end(&mut out)
        .map_err(|_| NotInflated::Broken)?;
    if out.len() > most {
        Err(NotInflated::TooLong)
    } else {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 5] = [
        Compression::Zlib,
        Compression::Bzip2,
        Compression::Lzma,
        Compression::Brotli,
        Compression::Zstd,
    ];

    #[test]
    fn what_is_compressed_is_inflated_to_the_same_and_no_further_than_allowed() {
        let body = br#"[[1, 2], {}, {"chain": null}]"#.repeat(1000);
        for compression in ALL {
            let small = compression.compress(&body).unwrap();

            assert!(small.len() < body.len() / 10, "{compression:?}: {}", small.len());
            assert_eq!(
                compression.inflate(&small, body.len()).as_ref(),
                Ok(&body),
                "{compression:?}"
            );
            assert_eq!(
                compression.inflate(&small, body.len() - 1),
                Err(NotInflated::TooLong),
                "{compression:?}"
            );
            assert_eq!(Compression::named(compression.content_type()), Some(compression));
        }
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_refused() {
        for compression in ALL {
            let small = compression.compress(&[7; 5000]).unwrap();

            for broken in [&small[..small.len() / 2], b"".as_slice(), b"[[], {}, {}]"] {
                assert_eq!(
                    compression.inflate(broken, 10_000),
                    Err(NotInflated::Broken),
                    "{compression:?}"
                );
            }
        }
    }

    /// The same stream, with one of its blocks asking for a dictionary of that many half bits over 4 KiB.
    fn asking(xz: &[u8], block: usize, bits: u8) -> Vec<u8> {
        let mut xz = xz.to_vec();
        let header = xz[12..20].to_vec();
        let starts: Vec<_> = (0..xz.len() - 8).filter(|at| xz[*at..at + 8] == header).collect();
        let header = &mut xz[starts[block]..][..12];
        header[4] = bits;
        let mut check = flate2::Crc::new();
        check.update(&header[..8]);
        header[8..].copy_from_slice(&check.sum().to_le_bytes());
        xz
    }

    #[test]
    fn an_xz_body_whose_block_asks_for_more_memory_than_it_can_need_is_refused_before_it_is_given() {
        let mut blocks = lzma_rust2::XzOptions::with_preset(0);
        blocks.set_block_size(std::num::NonZeroU64::new(1));
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), blocks).unwrap();
        let body = b"0123456789".repeat(60_000);
        writer.write_all(&body).unwrap();
        let xz = writer.finish().unwrap();

        for (block, bits, inflated) in [
            (0, 28, Ok(true)),
            (1, 28, Ok(true)),
            (0, 29, Err(NotInflated::TooLong)),
            (1, 29, Err(NotInflated::TooLong)),
            (2, 40, Err(NotInflated::TooLong)),
            (2, 41, Err(NotInflated::Broken)),
        ] {
            let asking = asking(&xz, block, bits);

            let whole = Compression::Lzma.inflate(&asking, body.len()).map(|out| out == body);

            assert_eq!(whole, inflated, "{block} {bits}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_an_inflater_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..5, keep in 0usize..60) {
            let mut spoilt = ALL[at].compress(b"[[1, 2], {}, {}] [[1, 2], {}, {}]").unwrap();
            spoilt.truncate(keep);
            spoilt.extend(&bytes);
            for body in [&bytes, &spoilt] {
                let _ = ALL[at].inflate(body, 100_000);
            }
        }
    }
}
