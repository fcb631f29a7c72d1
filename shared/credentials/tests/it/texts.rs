//! Texts that are hard to carry, records that are long, and numbers that no record may hold.

use crate::fixture::{dressed, full, issuer, keys, pictures, record, written};
use credentials::{
    Anchors, Check, Container, EmbedError, Ingredient, check_credential, check_file, extract_record, put_xmp,
    read_credential, strip_record, xmp_of,
};
use domain::record::{Detail, WrittenRecord};

/// Control characters, quotes, markup, emoji of several code points, marks that turn the line around, what no XML can hold, and length.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = (0..0x20_u8).chain([0x7f]).map(|c| format!("a{}b", char::from(c))).collect();
    texts.extend(['\u{80}', '\u{9b}', '\u{fffe}', '\u{ffff}', '\u{feff}', '\u{2028}', '\u{10ffff}'].map(String::from));
    texts.extend(
        [
            "\"quotes\" 'and' \\backslash\\ `ticks` $(subshell)",
            "]]></rdf:Description><x a=\"&amp;\">&#0;<!-- --> <?xpacket end=\"w\"?>",
            "👩🏽‍🚀 with 🏳️‍🌈 and 青い髪",
            "\u{202e}gnp.face\u{202c} \u{2067}שלום\u{2069} \u{200f}",
            "one\r\ntwo\n\n\tthree",
            "",
        ]
        .map(str::to_owned),
    );
    texts.extend(["x", "&", "👩", "\u{1}"].map(|text| text.repeat(10_000)));
    texts
}

/// Text with what XML cannot hold replaced, and line ends as an XML parser gives them.
fn as_xml(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

#[test]
fn any_text_travels_in_every_part_of_every_format() {
    let (authority, issued) = keys();
    let (anchors, issuer) = (Anchors::read(&authority.anchor).unwrap(), issuer(&issued));
    let source = Ingredient { media_type: "image/png", credentialed: None };
    for (container, plain) in pictures() {
        for text in texts() {
            let name = format!("{} {:?}", container.name(), text.chars().take(20).collect::<String>());
            let mut record = record(&plain);
            record.recipe.text.target.clone_from(&text);
            record.recipe.edit.text.clone_from(&text);
            record.links.source_uri = Some(format!("file:faces/{}.png", text.chars().take(100).collect::<String>()));
            record.links.project.clone_from(&text);
            record.outcome.warnings = vec![text.clone()];
            record.outcome.metrics.insert(text.clone(), 1.0);
            record.recipe_digest = domain::digest_of(&record.recipe).unwrap();
            let record = written(&record);
            let file = issuer.issue(&dressed(&plain, &record, Detail::Full), &record, Detail::Full, source).unwrap();
            let (mut findings, told) = check_file(&file);
            findings.extend(check_credential(&file, told.as_ref(), &anchors).0);
            assert!(findings.iter().all(|f| f.result == Check::Pass), "{name}: {findings:?}");
            assert_eq!(extract_record(&file).unwrap().0, *record, "{name}");
            assert_eq!(strip_record(&file).unwrap(), strip_record(&plain).unwrap(), "{name}");
            let packets = xmp_of(&file).unwrap();
            let [packet] = packets.as_slice() else { panic!("{name}: {packets:?}") };
            let tree = roxmltree::Document::parse(packet.trim_start_matches('\u{feff}'))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let said = tree.descendants().find(|node| node.tag_name().name() == "AIPromptInformation").unwrap();
            assert_eq!(said.text().unwrap_or_default(), as_xml(&text), "{name}");
            assert_eq!(said.children().count(), usize::from(!text.is_empty()), "{name}");
        }
    }
}

#[test]
fn a_long_record_goes_through_in_as_many_parts_as_it_needs() {
    let (_, issued) = keys();
    let issuer = issuer(&issued);
    let source = Ingredient { media_type: "image/png", credentialed: None };
    for (container, plain) in pictures() {
        let mut record = full(&plain);
        record.outcome.loss = (1..12_000).map(|step| 1.0 / f64::from(step)).collect();
        let record = written(&record);
        assert!(record.text().len() > 200_000, "{}", record.text().len());
        let file = issuer.issue(&dressed(&plain, &record, Detail::Full), &record, Detail::Full, source).unwrap();
        assert_eq!(extract_record(&file).unwrap().1, record.text().as_bytes(), "{}", container.name());
        let (findings, told) = check_file(&file);
        assert!(findings.iter().all(|f| f.result == Check::Pass), "{findings:?}");
        let (findings, _) = check_credential(&file, told.as_ref(), &Anchors::default());
        assert!(!findings.iter().any(|f| f.failed()), "{findings:?}");
        if container != Container::Jpeg {
            continue;
        }
        let begins =
            |at: &usize| file[*at..].starts_with(b"\xff\xea") && file[at + 4..].starts_with(b"counterfactory.record");
        let parts: Vec<_> = (0..file.len() - 4).filter(begins).collect();
        assert_eq!(parts.len(), record.text().len().div_ceil(65_533 - 22 - 2), "APP10 segments");
        // one of them lost, and two changed over
        let end = |at: usize| at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        let mut lost = file.clone();
        lost.drain(parts[1]..end(parts[1]));
        let [first, second] = [1, 2].map(|i| &file[parts[i]..end(parts[i])]);
        let turned = [&file[..parts[1]], second, first, &file[end(parts[2])..]].concat();
        for broken in [lost, turned] {
            assert!(check_file(&broken).0.iter().any(|f| f.failed()));
            assert!(check_credential(&broken, None, &Anchors::default()).0.iter().any(|f| f.failed()));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_not_cut() {
    let [_, (_, jpeg), _] = pictures();
    let mut long = record(&jpeg);
    long.recipe.text.target = "&".repeat(14_000);
    assert!(matches!(put_xmp(&jpeg, &written(&long), Detail::Full), Err(EmbedError::TooLong { .. })));
    let file = put_xmp(&jpeg, &written(&long), Detail::Minimal).unwrap();
    assert!(matches!(read_credential(&file, &Anchors::default()), Err(credentials::CredentialError::None)));
}

#[test]
fn numbers_that_are_none_are_refused_wherever_they_stand() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut records = [(); 5].map(|()| full(&crate::fixture::picture(1)));
        records[0].outcome.metrics.insert("identity".to_owned(), number);
        records[1].outcome.loss.push(number);
        records[2].recipe.strength = number;
        records[3].execution.milliseconds.insert("edit".to_owned(), number);
        records[4].recipe.edit.accept.max_change = Some(number);
        for (place, record) in records.into_iter().enumerate() {
            let written = WrittenRecord::new(record);
            assert!(written.is_err(), "{number} at {place}: {}", written.unwrap().text());
        }
    }
}
