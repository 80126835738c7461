//! Documents as lines of Extended JSON (version 2), for programs that know JSON and nothing of BSON.
//!
//! Written in the relaxed form, except that an integer that a JSON number does not carry everywhere, past 2^53, is canonical.
//! An object of a document whose keys look like Extended JSON (`{"$oid": ...}` as plain data) cannot be told from it; no such form can.

use std::io::Write;

use bson::raw::RawBsonRef;
use bson::spec::BinarySubtype;
use bson::{Bson, RawDocument};
use chrono::{DateTime, Datelike, SecondsFormat};

/// Past this, programs that know only floating point numbers lose digits.
const EXACT: i64 = 1 << 53;

/// Appends `document` to `line`, without a line break: there is none in it.
///
/// # Errors
/// When it is not sound BSON, e.g. a string that is not UTF-8. `line` then ends in the midst of it.
pub fn write(document: &RawDocument, line: &mut Vec<u8>) -> Result<(), bson::error::Error> {
    for (index, element) in document.iter_elements().enumerate() {
        let element = element?;
        line.push(if index == 0 { b'{' } else { b',' });
        text(element.key().as_str(), line);
        line.push(b':');
        value(element.value()?, line)?;
    }
    line.extend_from_slice(if document.is_empty() { b"{}" } else { b"}" });
    Ok(())
}

fn value(value: RawBsonRef<'_>, line: &mut Vec<u8>) -> Result<(), bson::error::Error> {
    match value {
        RawBsonRef::String(string) => text(string, line),
        RawBsonRef::Int32(number) => put(line, format_args!("{number}")),
        RawBsonRef::Int64(number) if (-EXACT..=EXACT).contains(&number) => put(line, format_args!("{number}")),
        RawBsonRef::Int64(number) => put(line, format_args!(r#"{{"$numberLong":"{number}"}}"#)),
        // The shortest form that reads back as the same number, always with a point or an exponent.
        RawBsonRef::Double(number) if number.is_finite() => put(line, format_args!("{number:?}")),
        RawBsonRef::Double(number) => {
            let name = match number {
                number if number.is_nan() => "NaN",
                f64::INFINITY => "Infinity",
                _ => "-Infinity",
            };
            put(line, format_args!(r#"{{"$numberDouble":"{name}"}}"#));
        }
        RawBsonRef::Boolean(yes) => line.extend_from_slice(if yes { b"true" } else { b"false" }),
        RawBsonRef::Null => line.extend_from_slice(b"null"),
        RawBsonRef::Document(document) => write(document, line)?,
        RawBsonRef::Array(array) => {
            line.push(b'[');
            for (index, item) in array.into_iter().enumerate() {
                if index > 0 {
                    line.push(b',');
                }
                self::value(item?, line)?;
            }
            line.push(b']');
        }
        RawBsonRef::ObjectId(id) => put(line, format_args!(r#"{{"$oid":"{id}"}}"#)),
        RawBsonRef::DateTime(date) => time(date.timestamp_millis(), line),
        RawBsonRef::Decimal128(number) => put(line, format_args!(r#"{{"$numberDecimal":"{number}"}}"#)),
        RawBsonRef::Binary(binary) => bytes(binary.bytes, binary.subtype, line),
        // The rest is rare.
        rest => {
            let rest = Bson::try_from(rest)?.into_canonical_extjson();
            serde_json::to_writer(line, &rest)
                .map_err(|error| bson::error::Error::from(std::io::Error::from(error)))?;
        }
    }
    Ok(())
}

fn put(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("memory takes everything");
}

fn text(text: &str, line: &mut Vec<u8>) {
    let start = line.len();
    serde_json::to_writer(&mut *line, text).expect("a string is JSON, and memory takes everything");
    // JSON lets the separators of Unicode stand as they are, and Node's `readline` takes them for the end of the line. Both begin with this byte.
    if text.as_bytes().contains(&0xE2) {
        let written = String::from_utf8_lossy(&line[start..]);
        let escaped = written.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        line.truncate(start);
        line.extend_from_slice(escaped.as_bytes());
    }
}

fn time(millis: i64, line: &mut Vec<u8>) {
    match DateTime::from_timestamp_millis(millis).filter(|time| (1970..=9999).contains(&time.year())) {
        Some(time) => {
            let precision = if millis % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
            put(line, format_args!(r#"{{"$date":"{}"}}"#, time.to_rfc3339_opts(precision, true)));
        }
        None => put(line, format_args!(r#"{{"$date":{{"$numberLong":"{millis}"}}}}"#)),
    }
}

fn bytes(bytes: &[u8], subtype: BinarySubtype, line: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    line.extend_from_slice(br#"{"$binary":{"base64":""#);
    line.reserve(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index| u32::from(three.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let mut four = [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize]);
        four[three.len() + 1..].fill(b'=');
        line.extend_from_slice(&four);
    }
    put(line, format_args!(r#"","subType":"{:02x}"}}}}"#, u8::from(subtype)));
}

/// Reads a value back. A number that does not say its type is an Int32 if it is an integer that fits, else an Int64 if it is
/// an integer that fits, else a Double; so `1.0` stays a Double, and a program that must answer with an Int64 says `{"$numberLong": "1"}`.
///
/// # Errors
/// Why it is not Extended JSON.
pub fn read(line: &[u8]) -> Result<Bson, String> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    Bson::try_from(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::oid::ObjectId;
    use bson::raw::{CString, cstr};
    use bson::{Binary, DbPointer, Document, JavaScriptCodeWithScope, RawDocumentBuf, Regex, Timestamp, doc};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn line_of(document: &Document) -> String {
        let mut line = Vec::new();
        write(&RawDocumentBuf::try_from(document).unwrap(), &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn any_value() -> impl Strategy<Value = Bson> {
        let leaf = prop_oneof![
            any::<f64>().prop_filter("a NaN differs from itself", |number| !number.is_nan()).prop_map(Bson::Double),
            any::<String>().prop_map(Bson::String),
            any::<bool>().prop_map(Bson::Boolean),
            Just(Bson::Null),
            any::<i32>().prop_map(Bson::Int32),
            any::<i64>().prop_map(Bson::Int64),
            (-EXACT - 2..=EXACT + 2).prop_map(Bson::Int64),
            any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
            any::<i64>().prop_map(|millis| Bson::DateTime(bson::DateTime::from_millis(millis))),
            (-1_000_000_000_000i64..300_000_000_000_000)
                .prop_map(|millis| Bson::DateTime(bson::DateTime::from_millis(millis))),
            (vec(any::<u8>(), 0..40), any::<u8>()).prop_map(|(bytes, subtype)| {
                // The oldest one has a length of its own within.
                let subtype = BinarySubtype::from(if subtype == 2 { 0 } else { subtype });
                Bson::Binary(Binary { subtype, bytes })
            }),
            any::<(u32, u32)>().prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
            (-1_000_000i64..1_000_000, -30i32..30)
                .prop_map(|(digits, power)| Bson::Decimal128(format!("{digits}E{power}").parse().unwrap())),
            "[a-z.*]{0,8}".prop_map(|pattern| {
                let (pattern, options) = (CString::try_from(pattern).unwrap(), cstr!("im").to_owned());
                Bson::RegularExpression(Regex { pattern, options })
            }),
            any::<String>().prop_map(Bson::Symbol),
            any::<String>().prop_map(Bson::JavaScriptCode),
            (any::<String>(), any::<i64>()).prop_map(|(code, number)| {
                Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope: doc! { "n": number } })
            }),
            Just(Bson::MinKey),
            Just(Bson::MaxKey),
            Just(Bson::Undefined),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Bson::Array),
                any_document_of(inner).prop_map(Bson::Document),
            ]
        })
    }

    fn any_document_of(value: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
        vec(("[^$\0][^\0]{0,6}", value), 0..6).prop_map(|entries| entries.into_iter().collect())
    }

    /// An integer that came without its type has the smallest one.
    fn narrowed(value: Bson) -> Bson {
        match value {
            Bson::Int64(number) if (-EXACT..=EXACT).contains(&number) => {
                i32::try_from(number).map_or(value, Bson::Int32)
            }
            Bson::Array(items) => Bson::Array(items.into_iter().map(narrowed).collect()),
            Bson::Document(document) => {
                Bson::Document(document.into_iter().map(|(key, value)| (key, narrowed(value))).collect())
            }
            other => other,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_it_was(document in any_document_of(any_value())) {
            let line = line_of(&document);
            let separates = |character| ['\n', '\r', '\u{2028}', '\u{2029}'].contains(&character);
            prop_assert!(!line.contains(separates), "it is one line");
            prop_assert_eq!(read(line.as_bytes()), Ok(narrowed(Bson::Document(document))));
        }
    }

    #[test]
    fn what_some_programs_take_for_the_end_of_a_line_is_escaped() {
        let text = "a\u{2028}b\u{2029}c\rd\ne\u{20ac}";
        let line = line_of(&doc! { "text": text });
        assert_eq!(line, r#"{"text":"a\u2028b\u2029c\rd\ne€"}"#);
        assert_eq!(read(line.as_bytes()), Ok(Bson::Document(doc! { "text": text })));
    }

    #[test]
    fn numbers_that_json_cannot_carry_say_their_type() {
        let document = doc! {
            "exact": EXACT, "beyond": EXACT + 1, "below": -EXACT - 1, "whole": 3.0, "large": 1e300, "small": -1e-7,
            "nan": f64::NAN, "infinite": f64::INFINITY, "minus": f64::NEG_INFINITY,
        };
        assert_eq!(
            line_of(&document),
            concat!(
                r#"{"exact":9007199254740992,"beyond":{"$numberLong":"9007199254740993"},"#,
                r#""below":{"$numberLong":"-9007199254740993"},"whole":3.0,"large":1e300,"small":-1e-7,"#,
                r#""nan":{"$numberDouble":"NaN"},"infinite":{"$numberDouble":"Infinity"},"minus":{"$numberDouble":"-Infinity"}}"#,
            )
        );
    }

    #[test]
    fn dates_that_iso_has_no_room_for_are_numbers() {
        let date = |millis| line_of(&doc! { "d": bson::DateTime::from_millis(millis) });
        assert_eq!(date(0), r#"{"d":{"$date":"1970-01-01T00:00:00Z"}}"#);
        assert_eq!(date(253_402_300_799_999), r#"{"d":{"$date":"9999-12-31T23:59:59.999Z"}}"#);
        assert_eq!(date(253_402_300_800_000), r#"{"d":{"$date":{"$numberLong":"253402300800000"}}}"#);
        assert_eq!(date(-1), r#"{"d":{"$date":{"$numberLong":"-1"}}}"#);
    }

    #[test]
    fn what_only_old_documents_hold_is_written_too() {
        let pointer = RawDocumentBuf::from_bytes({
            let mut bytes = vec![30, 0, 0, 0, 0x0C, b'p', 0, 4, 0, 0, 0, b'a', b'.', b'b', 0];
            bytes.extend([0x11; 12]);
            bytes.push(0);
            let length = u8::try_from(bytes.len()).unwrap();
            bytes[0] = length;
            bytes
        })
        .unwrap();
        let mut line = Vec::new();
        write(&pointer, &mut line).unwrap();
        let text = r#"{"p":{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"111111111111111111111111"}}}}"#;
        assert_eq!(String::from_utf8(line).unwrap(), text);
        let read = read(text.as_bytes()).unwrap();
        assert!(matches!(read.as_document().unwrap().get("p"), Some(Bson::DbPointer(DbPointer { .. }))));
    }

    #[test]
    fn a_number_without_a_type_has_the_smallest_that_fits() {
        let read = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(read("2147483647"), Bson::Int32(i32::MAX));
        assert_eq!(read("2147483648"), Bson::Int64(2_147_483_648));
        assert_eq!(read("1.0"), Bson::Double(1.0));
        assert_eq!(read("9223372036854775808"), Bson::Double(9_223_372_036_854_775_808.0));
        assert_eq!(read("0.1234567890123456789"), Bson::Double(0.123_456_789_012_345_68));
    }
}
