//! Naming the colour of a region without any learned network.

/// A colour with its name, sRGB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prototype {
    /// For example `green`.
    pub name: String,
    /// sRGB, 0 to 255.
    pub rgb: [u8; 3],
}

/// The name of the median colour of an RGB8 raster where `inside` is true, by the nearest of `prototypes` in CIE Lab with
/// lightness at half weight (squared distance): hue says more than shade about what a colour is called. The median is
/// taken per channel. `None` for an empty region or no prototypes.
pub fn name_of_region<'a>(raster: &[u8], inside: &[bool], prototypes: &'a [Prototype]) -> Option<&'a str> {
    let pixels: Vec<&[u8]> =
        raster.chunks_exact(3).zip(inside).filter(|(_, inside)| **inside).map(|(p, _)| p).collect();
    if pixels.is_empty() {
        return None;
    }
    let median = |channel: usize| {
        let mut values: Vec<u8> = pixels.iter().map(|pixel| pixel[channel]).collect();
        let middle = (values.len() - 1) / 2;
        *values.select_nth_unstable(middle).1
    };
    let colour = lab([median(0), median(1), median(2)]);
    let distance = |prototype: &Prototype| {
        let other = lab(prototype.rgb);
        (0..3).map(|i| (colour[i] - other[i]).powi(2) * if i == 0 { 0.5 } else { 1.0 }).sum::<f64>()
    };
    let nearest = prototypes.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    Some(&nearest.name)
}

/// CIE Lab (D65) of an sRGB colour.
fn lab(rgb: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|value| {
        let c = f64::from(value) / 255.0;
        if c > 0.04045 { ((c + 0.055) / 1.055).powf(2.4) } else { c / 12.92 }
    });
    let x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505;
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    let z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089;
    let [x, y, z] = [x, y, z].map(|t| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_named_and_outliers_are_not_seen() {
        let prototype = |name: &str, rgb| Prototype { name: name.to_owned(), rgb };
        let prototypes = [prototype("green", [47, 174, 62]), prototype("grey", [143, 143, 143])];
        let raster = [40, 160, 60, 50, 180, 60, 255, 0, 0, 143, 143, 143];
        assert_eq!(name_of_region(&raster, &[true, true, false, false], &prototypes), Some("green"));
        assert_eq!(name_of_region(&raster, &[false, false, false, true], &prototypes), Some("grey"));
        assert_eq!(name_of_region(&raster, &[false; 4], &prototypes), None);
    }

    #[test]
    fn white_and_black_have_the_lightness_they_should() {
        assert!((lab([255; 3])[0] - 100.0).abs() < 0.01);
        assert!(lab([0; 3])[0].abs() < 0.01);
    }
}
