//! Cartoon faces from known parameters, drawn with the Apache-2.0 library facesjs 5.0.3.
//!
//! A [`Face`] is parameters only. [`Renderer`] draws it, and draws the masks of its regions; [`Face::counterfactual`]
//! changes one attribute and keeps every other parameter, so that an edit of the picture has a ground truth.
//!
//! The library is not part of this repository: `deploy/local/facesjs.sh` fetches it from npm into `.local/facesjs`. Its
//! script is evaluated in QuickJS, which has no access to files or the network; the SVG it emits is rasterised by resvg.

pub mod colour;
pub mod palette;

mod attributes;
mod counterfactual;
mod draw;
mod error;
mod library;
mod masks;

pub use attributes::{Beard, Distribution, Face, HairStyle, Mouth, Paint, heads};
pub use colour::Rgb;
pub use counterfactual::Change;
pub use draw::{DEFAULT_LIBRARY, Renderer};
pub use error::FacesError;
pub use masks::Region;
