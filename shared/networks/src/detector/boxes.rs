//! Boxes of the cascade: moved, made square, cut to the image, and of those that overlap the best one kept. In single precision and in
//! the order of facenet-pytorch, so that the same boxes are kept.

use super::Face;

/// What may be a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Left, top, right and bottom.
    pub(super) bounds: [f32; 4],
    pub(super) score: f32,
    /// By which parts of its width and height the bounds are wrong.
    pub(super) moves: [f32; 4],
    pub(super) landmarks: [[f32; 2]; 5],
}

/// Against what an overlap is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// The union of both boxes (torchvision's `nms`).
    OfUnion,
    /// The smaller of both, with pixels counted at both edges (`nms_numpy` with the method "Min").
    OfSmaller,
}

/// Width times height, each `more` longer.
pub(super) fn area([left, top, right, bottom]: &[f32; 4], more: f32) -> f32 {
    (right - left + more) * (bottom - top + more)
}

impl Candidate {
    /// Moves the bounds of a cell of the pyramid.
    pub(super) fn stretch(&mut self) -> &mut Self {
        self.moved(0.0)
    }

    /// Moves the bounds as the second and third network say.
    pub(super) fn regress(&mut self) -> &mut Self {
        self.moved(1.0)
    }

    fn moved(&mut self, more: f32) -> &mut Self {
        let [left, top, right, bottom] = self.bounds;
        let (width, height) = (right - left + more, bottom - top + more);
        let [a, b, c, d] = self.moves;
        self.bounds = [left + a * width, top + b * height, right + c * width, bottom + d * height];
        self
    }

    /// Widens the shorter side.
    pub(super) fn make_square(&mut self) {
        let [left, top, right, bottom] = self.bounds;
        let (width, height) = (right - left, bottom - top);
        let side = width.max(height);
        let (left, top) = (left + width * 0.5 - side * 0.5, top + height * 0.5 - side * 0.5);
        self.bounds = [left, top, left + side, top + side];
    }

    /// Its pixels in an image: first column and row, and those behind the last; none where it lies outside. Bounds count from 1.
    pub(super) fn pixels(&self, width: i64, height: i64) -> Option<[i64; 4]> {
        // `as` truncates, and makes what is not finite an edge
        let [left, top, right, bottom] = self.bounds.map(|c| c as i64);
        let (left, top) = (left.max(1) - 1, top.max(1) - 1);
        let (right, bottom) = (right.min(width), bottom.min(height));
        (right > left && bottom > top).then_some([left, top, right, bottom])
    }

    /// Five points, told as five parts of the width and then five of the height, as places in the image.
    pub(super) fn place(&self, points: &[f32]) -> [[f32; 2]; 5] {
        let [left, top, right, bottom] = self.bounds;
        let (width, height) = (right - left + 1.0, bottom - top + 1.0);
        [0, 1, 2, 3, 4].map(|k| [width * points[k] + left - 1.0, height * points[k + 5] + top - 1.0])
    }

    pub(super) fn face(&self) -> Face {
        Face { bounds: self.bounds, probability: self.score, landmarks: self.landmarks }
    }
}

/// The best of each heap of overlapping candidates, by falling score.
pub(super) fn kept(mut candidates: Vec<Candidate>, most: f64, overlap: Overlap) -> Vec<Candidate> {
    if overlap == Overlap::OfSmaller {
        // of equal scores, the last comes first there
        candidates.reverse();
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|better| !overlaps(better, &candidate, most, overlap)) {
            kept.push(candidate);
        }
    }
    kept
}

fn overlaps(a: &Candidate, b: &Candidate, most: f64, overlap: Overlap) -> bool {
    let more = if overlap == Overlap::OfSmaller { 1.0 } else { 0.0 };
    let (left, top) = (a.bounds[0].max(b.bounds[0]), a.bounds[1].max(b.bounds[1]));
    let (right, bottom) = (a.bounds[2].min(b.bounds[2]), a.bounds[3].min(b.bounds[3]));
    let both = (right - left + more).max(0.0) * (bottom - top + more).max(0.0);
    let (of_a, of_b) = (area(&a.bounds, more), area(&b.bounds, more));
    match overlap {
        Overlap::OfUnion => f64::from(both / (of_a + of_b - both)) > most,
        // the threshold is rounded there, too
        Overlap::OfSmaller => both / of_a.min(of_b) > most as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(bounds: [f32; 4], score: f32) -> Candidate {
        Candidate { bounds, score, moves: [0.0; 4], landmarks: [[0.0; 2]; 5] }
    }

    #[test]
    fn of_overlapping_boxes_the_surest_is_kept() {
        let boxes = vec![
            candidate([0.0, 0.0, 9.0, 9.0], 0.7),
            candidate([0.0, 0.0, 10.0, 10.0], 0.9),
            candidate([20.0, 0.0, 30.0, 9.0], 0.8),
        ];
        let scores = |overlap, most| kept(boxes.clone(), most, overlap).iter().map(|c| c.score).collect::<Vec<_>>();
        assert_eq!(scores(Overlap::OfUnion, 0.7), [0.9, 0.8]);
        assert_eq!(scores(Overlap::OfUnion, 0.9), [0.9, 0.8, 0.7]);
        assert_eq!(scores(Overlap::OfSmaller, 0.9), [0.9, 0.8]);
    }

    #[test]
    fn a_box_outside_of_the_image_has_no_pixels() {
        assert_eq!(candidate([-5.0, 2.9, 8.0, 40.0], 1.0).pixels(30, 20), Some([0, 1, 8, 20]));
        for outside in [[-9.0, 0.0, -2.0, 8.0], [31.0, 0.0, 40.0, 8.0], [f32::NAN; 4], [0.0, f32::INFINITY, 9.0, 9.0]] {
            assert_eq!(candidate(outside, 1.0).pixels(30, 20), None, "{outside:?}");
        }
    }
}
