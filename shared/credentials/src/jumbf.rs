//! A look at a credential before the library reads it: boxes (ISO/IEC 19566-5) that lie within each other, CBOR (RFC 8949) that is as
//! long as it says. The library sets aside whatever memory an assertion claims to need, so that ten kilobytes of a stranger's could
//! take all there is; and nobody reads a credential but to learn whether it holds.

/// Nesting of boxes or of CBOR that no credential comes near.
const DEEPEST: usize = 128;

/// Whether the credential in `file`, if one can be found there, is safe to read.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_embedded(file: &[u8], media_type: &str) -> Result<(), &'static str> {
    // What cannot be found, the library does not find either, and says why.
    c2pa::jumbf_io::load_jumbf_from_memory(media_type, file).map_or(Ok(()), |store| check(&store))
}

/// Whether a credential's own bytes are safe to read.
///
/// # Errors
/// As [`check_embedded`].
pub(crate) fn check(store: &[u8]) -> Result<(), &'static str> {
    boxes(store, DEEPEST)
}

fn boxes(mut rest: &[u8], depth: usize) -> Result<(), &'static str> {
    const BROKEN: &str = "its boxes do not lie within each other";
    let depth = depth.checked_sub(1).ok_or(BROKEN)?;
    // Fewer bytes than a header are padding.
    while let Some((&[a, b, c, d, kind @ ..], _)) = rest.split_first_chunk::<8>() {
        let (length, head) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (rest.len() as u64, 8),
            1 => (u64::from_be_bytes(*rest[8..].first_chunk().ok_or(BROKEN)?), 16),
            length => (length.into(), 8),
        };
        let length = usize::try_from(length).map_err(|_| BROKEN)?;
        let body = rest.get(head..length).ok_or(BROKEN)?;
        match &kind {
            b"jumb" => boxes(body, depth)?,
            b"cbor" => {
                Cbor { rest: body }
                    .item(DEEPEST)
                    .ok_or("a part of it claims more bytes than there are, or is no CBOR")?;
            }
            b"brob" => return Err("a part of it is compressed, which is not read here"),
            _ => {}
        }
        rest = &rest[length..];
    }
    Ok(())
}

/// Items that are passed over without setting anything aside.
struct Cbor<'a> {
    rest: &'a [u8],
}

impl Cbor<'_> {
    /// Passes over one item; none if it does not end within the bytes.
    fn item(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let (major, argument) = self.head()?;
        match (major, argument) {
            (0 | 1 | 7, Some(_)) => {}
            (2 | 3, Some(length)) => self.skip(length)?,
            (2 | 3, None) => {
                while !self.ends()? {
                    let (part, Some(length)) = self.head()? else { return None };
                    if part != major {
                        return None;
                    }
                    self.skip(length)?;
                }
            }
            (4 | 5, Some(count)) => {
                // Each takes a byte at least, so this ends with the bytes.
                for _ in 0..count.checked_mul(u64::from(major) - 3)? {
                    self.item(depth)?;
                }
            }
            (4 | 5, None) => {
                while !self.ends()? {
                    self.item(depth)?;
                }
            }
            (6, Some(_)) => self.item(depth)?,
            _ => return None,
        }
        Some(())
    }

    /// The major type, and the argument; none of the latter where the length is left open.
    fn head(&mut self) -> Option<(u8, Option<u64>)> {
        let first = self.take(1)?[0];
        let bytes = match first & 31 {
            small @ 0..=23 => return Some((first >> 5, Some(small.into()))),
            wide @ 24..=27 => self.take(1 << (wide - 24))?,
            31 => return Some((first >> 5, None)),
            _ => return None,
        };
        let argument = bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        Some((first >> 5, Some(argument)))
    }

    /// Whether an open length ends here.
    fn ends(&mut self) -> Option<bool> {
        let ends = *self.rest.first()? == 0xff;
        if ends {
            self.skip(1)?;
        }
        Some(ends)
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.take(usize::try_from(bytes).ok()?).map(|_| ())
    }

    fn take(&mut self, bytes: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cbor, check};

    fn whole(cbor: &[u8]) -> bool {
        let mut reader = Cbor { rest: cbor };
        reader.item(8).is_some() && reader.rest.is_empty()
    }

    #[test]
    fn items_end_within_the_bytes_or_are_refused() {
        // RFC 8949, appendix A
        let good: [&[u8]; 10] = [
            b"\x17",
            b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a",
            b"\x43abc",
            b"\x5f\x42ab\x43cde\xff",
            b"\x83\x01\x82\x02\x03\x82\x04\x05",
            b"\x9f\x01\x82\x02\x03\xff",
            b"\xbf\x61a\x01\x61b\x9f\x02\x03\xff\xff",
            b"\xa2\x61a\x01\x61b\x82\x02\x03",
            b"\xc1\x1a\x51\x4b\x67\xb0",
        ];
        for cbor in good {
            assert!(whole(cbor), "{cbor:x?}");
            for end in 0..cbor.len() {
                assert!(!whole(&cbor[..end]), "{:x?}", &cbor[..end]);
            }
        }
        for cbor in
            [&b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff", b"\x1c"]
        {
            assert!(!whole(cbor), "{cbor:x?}");
        }
        assert!(!whole(&[[0x81; 9].as_slice(), &[0]].concat()), "too deep");
    }

    #[test]
    fn boxes_lie_within_each_other() {
        let of = |kind: &[u8], body: &[u8]| {
            // Safe to narrow: a few bytes.
            [&(body.len() as u32 + 8).to_be_bytes(), kind, body].concat()
        };
        let nested = |inner: Vec<u8>| of(b"jumb", &[of(b"jumd", b"label"), inner].concat());
        assert_eq!(check(&nested(nested(of(b"cbor", b"\x43abc\0\0")))), Ok(()));
        assert_eq!(check(b""), Ok(()));
        for wrong in [
            nested(of(b"cbor", b"\x5a\xff\xff\xff\xffabc")),
            nested(of(b"brob", b"")),
            nested(b"\0\0\x01\0free".to_vec()),
            nested(b"\0\0\0\x04cbor".to_vec()),
            (0..200).fold(Vec::new(), |inner, _| of(b"jumb", &inner)),
        ] {
            assert!(check(&wrong).is_err(), "{wrong:x?}");
        }
    }
}
