//! The XMP packet for programs that read no Content Credentials: unsigned, so it proves nothing, but it says that the picture was
//! generated, in the terms of the IPTC photo metadata standard 2025.1.

use crate::container::{Container, EmbedError, Part};
use domain::record::{Detail, TRAINED_ALGORITHMIC_MEDIA, WrittenRecord};

/// Namespace of the packet's own properties.
const NAMESPACE: &str = "urn:counterfactory:xmp:1:";

/// `file` with a packet that says how `record`'s picture came about. At [`Detail::Minimal`] it says nothing of what was asked for.
///
/// # Errors
/// When `file` is no whole PNG, JPEG or WebP.
pub fn put_xmp(file: &[u8], record: &WrittenRecord, detail: Detail) -> Result<Vec<u8>, EmbedError> {
    Container::of(file)?.put(file, Part::Xmp, packet(record, detail).as_bytes())
}

/// The packets in `file`.
///
/// # Errors
/// When `file` is no whole PNG, JPEG or WebP.
pub fn xmp_of(file: &[u8]) -> Result<Vec<String>, EmbedError> {
    let packets = Container::of(file)?.get(file, Part::Xmp)?;
    Ok(packets.into_iter().map(|packet| String::from_utf8_lossy(&packet).into_owned()).collect())
}

fn packet(record: &WrittenRecord, detail: Detail) -> String {
    let source_type = record.outcome.digital_source_type.as_deref().unwrap_or(TRAINED_ALGORITHMIC_MEDIA);
    let mut properties = vec![
        ("Iptc4xmpExt:DigitalSourceType", source_type.to_owned()),
        ("Iptc4xmpExt:AISystemUsed", "Counterfactory".to_owned()),
        ("Iptc4xmpExt:AISystemVersionUsed", record.execution.version.clone()),
        ("xmp:CreatorTool", format!("Counterfactory {}", record.execution.version)),
        ("xmp:CreateDate", record.execution.finished_at.to_rfc3339()),
        ("cfx:RecordDigest", record.digest().to_string()),
    ];
    if detail > Detail::Minimal {
        properties.push(("Iptc4xmpExt:AIPromptInformation", record.recipe.text.target.clone()));
    }
    let elements: String =
        properties.iter().map(|(name, value)| format!("   <{name}>{}</{name}>\n", escaped(value))).collect();
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n \
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n  \
         <rdf:Description rdf:about=\"\" xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" \
         xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" xmlns:cfx=\"{NAMESPACE}\">\n{elements}  \
         </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>"
    )
}

/// Text of an XML 1.0 element: characters that XML cannot hold at all become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' => out.push(c),
            // Otherwise it is read as a line feed.
            '\r' => out.push_str("&#13;"),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
