//! The frame: a square, turned with the face.

use domain::landmarks::Anchors;

/// The least side of a frame, px: below it there is no face to see.
const LEAST: f64 = 2.0;

/// Four corners in the image: top left, bottom left, bottom right, top right, as the face is seen upright.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Quad {
    pub(super) corners: [[f64; 2]; 4],
    /// Its side, px.
    pub(super) side: f64,
}

impl Quad {
    /// The frame of a face; none where its points are in one place.
    pub(super) fn of(anchors: &Anchors) -> Option<Self> {
        let Anchors { eye_left, eye_right, mouth_left, mouth_right } = *anchors;
        let middle = |a: [f64; 2], b: [f64; 2]| [(a[0] + b[0]) * 0.5, (a[1] + b[1]) * 0.5];
        let from = |a: [f64; 2], b: [f64; 2]| [b[0] - a[0], b[1] - a[1]];
        let eyes = middle(eye_left, eye_right);
        let across = from(eye_left, eye_right);
        let down = from(eyes, middle(mouth_left, mouth_right));
        // half the frame's width along the eyes, with the line from eyes to mouth, turned, as a second witness
        let along = [across[0] + down[1], across[1] - down[0]];
        let length = along[0].hypot(along[1]);
        let half = (across[0].hypot(across[1]) * 2.0).max(down[0].hypot(down[1]) * 1.8);
        let [x, y] = along.map(|c| c / length * half);
        let centre = [eyes[0] + down[0] * 0.1, eyes[1] + down[1] * 0.1];
        let side = x.hypot(y) * 2.0;
        // false where it is not a number, too
        (side >= LEAST).then(|| {
            let corner =
                |right: f64, below: f64| [centre[0] + right * x - below * y, centre[1] + right * y + below * x];
            let corners = [corner(-1.0, -1.0), corner(-1.0, 1.0), corner(1.0, 1.0), corner(1.0, -1.0)];
            Self { corners, side }
        })
    }

    pub(super) fn centre(&self) -> [f64; 2] {
        [0, 1].map(|axis| self.corners.iter().map(|corner| corner[axis]).sum::<f64>() / 4.0)
    }

    pub(super) fn shrink(&mut self, by: f64) {
        self.corners.iter_mut().flatten().for_each(|c| *c /= by);
        self.side /= by;
    }

    pub(super) fn shift(&mut self, by: [f64; 2]) {
        for corner in &mut self.corners {
            *corner = [corner[0] + by[0], corner[1] + by[1]];
        }
    }

    /// Left, top, right and bottom of the upright rectangle around it, outwards to whole pixels.
    pub(super) fn bounds(&self) -> [i64; 4] {
        let all = |axis: usize| self.corners.iter().map(move |corner| corner[axis]);
        let least = |axis| all(axis).fold(f64::INFINITY, f64::min).floor() as i64;
        let most = |axis| all(axis).fold(f64::NEG_INFINITY, f64::max).ceil() as i64;
        [least(0), least(1), most(0), most(1)]
    }
}
