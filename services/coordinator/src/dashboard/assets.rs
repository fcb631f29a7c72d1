//! What pages refer to, inside the binary. The address of each file has a digest of its content, so a browser keeps it for good and
//! never shows a page with another version's style or script.
//!
//! `assets/vendor/` holds files of other projects as they publish them, with their licences: htmx and its hx-sse (0BSD), uPlot (MIT),
//! img-comparison-slider (MIT). All live with a policy that allows no inline code or style: htmx evaluates code only for attributes
//! that no template here has, uPlot writes styles through the CSSOM, the slider adopts a constructed style sheet.

use crate::http::problem::ApiError;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::Digest;
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    path: String,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! file {
    ($path:literal) => {
        include_bytes!(concat!("../../assets/", $path))
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files: [(&str, &str, &[u8]); 11] = [
        ("style.css", STYLE, file!("style.css")),
        ("theme.js", SCRIPT, file!("theme.js")),
        ("app.js", SCRIPT, file!("app.js")),
        ("charts.js", SCRIPT, file!("charts.js")),
        ("icon.svg", "image/svg+xml", file!("icon.svg")),
        ("htmx.js", SCRIPT, file!("vendor/htmx.org-4.0.1/htmx.min.js")),
        ("hx-sse.js", SCRIPT, file!("vendor/htmx.org-4.0.1/hx-sse.min.js")),
        ("uplot.js", SCRIPT, file!("vendor/uplot-1.6.32/uPlot.iife.min.js")),
        ("uplot.css", STYLE, file!("vendor/uplot-1.6.32/uPlot.min.css")),
        ("slider.js", SCRIPT, file!("vendor/img-comparison-slider-8.0.7/index.js")),
        ("slider.css", STYLE, file!("vendor/img-comparison-slider-8.0.7/styles.css")),
    ];
    let asset = |(name, kind, bytes): (&'static str, &'static str, &'static [u8])| {
        let path = format!("/assets/{}/{name}", &Digest::of(bytes).to_string()[..16]);
        Asset { name, kind, bytes, path }
    };
    files.into_iter().map(asset).collect()
});

/// The address of a file, for templates.
pub fn asset(name: &str) -> &'static str {
    // a test renders every page, so a name that is none is seen there
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.path.as_str())
}

/// `GET /assets/{digest}/{name}`
pub async fn handle(Path((digest, name)): Path<(String, String)>) -> Result<Response, ApiError> {
    let path = format!("/assets/{digest}/{name}");
    let asset = ASSETS.iter().find(|asset| asset.path == path);
    // never another version's bytes under this address: it would be kept for good
    let asset = asset.ok_or_else(|| ApiError::NotFound(format!("there is no file {path}; load the page again")))?;
    let keep = (header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    Ok(([(header::CONTENT_TYPE, asset.kind), keep], asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_kept_for_good_and_another_version_is_not_served_in_its_place() {
        let digest = asset("style.css").split('/').nth(2).unwrap().to_owned();
        let kept = handle(Path((digest, "style.css".to_owned()))).await.unwrap();
        assert!(kept.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert!(handle(Path(("0".repeat(16), "style.css".to_owned()))).await.is_err());
        assert_eq!(asset("nothing.js"), "");
    }
}
