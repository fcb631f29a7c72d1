//! The face detector: MTCNN (Zhang et al. 2016, <https://arxiv.org/abs/1604.02878>), the three networks of facenet-pytorch with their
//! cascade: boxes, probabilities and five landmarks a face.
//!
//! The cascade is `detect_face` of facenet-pytorch (models/utils/detect_face.py) with the settings of its `MTCNN`: faces of 20 px and
//! more, thresholds 0.6, 0.7 and 0.7, a pyramid by 0.709. Where that would fail on an image, there is no face: one too small for the
//! pyramid, or a box that lies outside of it.

mod boxes;
mod nets;

use tch::{Device, Kind, TchError, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::weights::{LoadReport, Weights};

use boxes::{Candidate, Overlap};
use nets::{Onet, Pnet, Rnet};

const NETWORK: &str = "face detector";

/// Side of the smallest face that is looked for, px.
pub const SMALLEST_FACE: f64 = 20.0;
/// From one level of the pyramid to the next.
const FACTOR: f64 = 0.709;
/// Side of what the first network reads, px.
const CELL: f64 = 12.0;
/// The least probability that each network must give.
const THRESHOLDS: [f32; 3] = [0.6, 0.7, 0.7];
/// Faces computed at once.
const CHUNK: usize = 512;

/// A face in an image. Coordinates are pixels of the image, x and y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Left, top, right and bottom.
    pub bounds: [f32; 4],
    /// How sure the detector is, 0 to 1.
    pub probability: f32,
    /// Left eye, right eye, nose, left and right corner of the mouth; left and right as the image shows them.
    pub landmarks: [[f32; 2]; 5],
}

impl Face {
    /// The area of its box, square pixels.
    pub fn area(&self) -> f32 {
        boxes::area(&self.bounds, 0.0)
    }
}

/// The three frozen networks.
#[derive(Debug)]
pub struct Detector {
    pnet: Pnet,
    rnet: Rnet,
    onet: Onet,
    device: Device,
    kind: Kind,
}

impl Detector {
    /// Builds the networks from all of the file's tensors: `pnet.*`, `rnet.*` and `onet.*` under facenet-pytorch's names, as in the
    /// state of its `MTCNN`.
    ///
    /// # Errors
    /// Names the tensor that is missing, surplus or of another shape.
    pub fn load(mut weights: Weights) -> Result<(Self, LoadReport), LoadError> {
        let (device, kind) = (weights.device(), weights.kind());
        let pnet = Pnet::take(weights.scope("pnet"))?;
        let rnet = Rnet::take(weights.scope("rnet"))?;
        let onet = Onet::take(weights.scope("onet"))?;
        let report = weights.finish()?;
        Ok((Detector { pnet, rnet, onet, device, kind }, report))
    }

    /// The faces of an image, the one with the largest box first.
    ///
    /// `pixels` is RGB, 8 bits, row by row from the top left.
    ///
    /// # Errors
    /// When the number of bytes is another than the size needs, or memory runs out.
    pub fn detect(&self, pixels: &[u8], width: usize, height: usize) -> Result<Vec<Face>, NetworkError> {
        if pixels.is_empty() || pixels.len() != width * height * 3 {
            let expected = format!("{height} x {width} x 3 bytes");
            let found = vec![pixels.len() as i64];
            return Err(NetworkError::Shape { network: NETWORK, input: "pixels", expected, found });
        }
        let faces = tch::no_grad(|| self.cascade(pixels, width as i64, height as i64))?;
        Ok(faces)
    }

    fn cascade(&self, pixels: &[u8], width: i64, height: i64) -> Result<Vec<Face>, TchError> {
        let image = Tensor::f_from_data_size(pixels, &[1, height, width, 3], Kind::Uint8)?;
        let image = image.f_to_device(self.device)?.f_permute([0, 3, 1, 2])?.f_to_kind(self.kind)?;
        let (proposed, crops) = cut(&image, self.propose(&image, width, height)?, 24)?;
        let read = read(&crops, |crops| self.rnet.forward(crops))?;
        let mut refined = boxes::kept(read.sure(&proposed, THRESHOLDS[1]), 0.7, Overlap::OfUnion);
        refined.iter_mut().for_each(|candidate| candidate.regress().make_square());

        let (refined, crops) = cut(&image, refined, 48)?;
        let read = self::read(&crops, |crops| self.onet.forward(crops))?;
        let mut found = read.sure(&refined, THRESHOLDS[2]);
        found.iter_mut().for_each(|candidate| {
            candidate.regress();
        });
        let mut faces: Vec<Face> = boxes::kept(found, 0.7, Overlap::OfSmaller).iter().map(Candidate::face).collect();
        faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
        Ok(faces)
    }

    /// The first network over a pyramid of the image: squares that may hold a face.
    fn propose(&self, image: &Tensor, width: i64, height: i64) -> Result<Vec<Candidate>, TchError> {
        let mut all = Vec::new();
        let mut scale = CELL / SMALLEST_FACE;
        let mut least = width.min(height) as f64 * scale;
        while least >= CELL {
            let side = |side: i64| (side as f64 * scale + 1.0) as i64;
            let level = resampled(image, side(height), side(width))?;
            let (probability, moves) = self.pnet.forward(&level)?;
            all.extend(boxes::kept(candidates(&probability, &moves, scale)?, 0.5, Overlap::OfUnion));
            scale *= FACTOR;
            least *= FACTOR;
        }
        let mut all = boxes::kept(all, 0.7, Overlap::OfUnion);
        all.iter_mut().for_each(|candidate| candidate.stretch().make_square());
        Ok(all)
    }
}

/// What the second or third network says of some squares.
struct Read {
    scores: Vec<f32>,
    /// Four a square.
    moves: Vec<f32>,
    /// Ten a square, or none.
    points: Vec<f32>,
}

impl Read {
    /// The squares with more than a probability, as they are, with what is said of them.
    fn sure(&self, squares: &[Candidate], least: f32) -> Vec<Candidate> {
        let sure = squares.iter().enumerate().filter(|(index, _)| self.scores[*index] > least);
        sure.map(|(index, square)| {
            let points = self.points.get(index * 10..index * 10 + 10);
            Candidate {
                score: self.scores[index],
                moves: [0, 1, 2, 3].map(|k| self.moves[index * 4 + k]),
                landmarks: points.map_or(square.landmarks, |points| square.place(points)),
                ..*square
            }
        })
        .collect()
    }
}

/// What a network makes of all squares, some at a time.
fn read(crops: &[Tensor], network: impl Fn(&Tensor) -> Result<nets::Said, TchError>) -> Result<Read, TchError> {
    let mut read = Read { scores: Vec::new(), moves: Vec::new(), points: Vec::new() };
    for crops in crops.chunks(CHUNK) {
        let said = network(&Tensor::f_cat(crops, 0)?)?;
        read.scores.extend(numbers(&said.probability)?);
        read.moves.extend(numbers(&said.moves)?);
        if let Some(points) = &said.points {
            read.points.extend(numbers(points)?);
        }
    }
    Ok(read)
}

/// Cuts squares out of the image, at the size that a network reads. One with no pixel in the image is dropped.
fn cut(image: &Tensor, squares: Vec<Candidate>, side: i64) -> Result<(Vec<Candidate>, Vec<Tensor>), TchError> {
    let size = image.size();
    let (height, width) = (size[2], size[3]);
    let (mut kept, mut crops) = (Vec::new(), Vec::new());
    for square in squares {
        let Some([left, top, right, bottom]) = square.pixels(width, height) else { continue };
        let part = image.f_narrow(2, top, bottom - top)?.f_narrow(3, left, right - left)?;
        crops.push(resampled(&part, side, side)?);
        kept.push(square);
    }
    Ok((kept, crops))
}

/// The mean over the area of each pixel (`interpolate(mode="area")`), in the networks' range.
fn resampled(image: &Tensor, height: i64, width: i64) -> Result<Tensor, TchError> {
    image.f_adaptive_avg_pool2d([height, width])?.f_sub_scalar(127.5)?.f_mul_scalar(0.007_812_5)
}

/// The cells of one level that may hold a face, row by row.
fn candidates(probability: &Tensor, moves: &Tensor, scale: f64) -> Result<Vec<Candidate>, TchError> {
    let size = probability.size();
    let columns = size.last().copied().unwrap_or(1).max(1) as usize;
    let (probability, moves) = (numbers(probability)?, numbers(moves)?);
    let cells = probability.len();
    let found = probability.into_iter().enumerate().filter(|(_, probability)| *probability >= THRESHOLDS[0]);
    let candidate = |(cell, score): (usize, f32)| {
        // single precision throughout, as it is there
        let place = |at: usize, behind: f32| ((2.0 * at as f32 + behind) / scale as f32).floor();
        let (x, y) = (cell % columns, cell / columns);
        Candidate {
            bounds: [place(x, 1.0), place(y, 1.0), place(x, 12.0), place(y, 12.0)],
            score,
            moves: [0, 1, 2, 3].map(|k| moves[k * cells + cell]),
            landmarks: [[0.0; 2]; 5],
        }
    };
    Ok(found.map(candidate).collect())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat = tensor.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?;
    Vec::<f32>::try_from(&flat)
}
