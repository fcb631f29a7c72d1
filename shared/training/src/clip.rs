//! The tiny CLIP: contrastive training on captions drawn afresh in every step, then the same with pictures changed by an
//! adversary, so that an edit cannot please it with noise.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use networks::{Activation, Clip, ClipConfig, Tokenizer};

use crate::adam::{Adam, AdamSettings, course, gradients};
use crate::augment::{perspective, softened, uniform};
use crate::captions::Grammar;
use crate::dataset::{Order, Pictures};
use crate::error::TrainingError;
use crate::parameters::Parameters;
use crate::session::{Losses, Part};

/// Sizes and course of the CLIP's training.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipSettings {
    /// Side of a patch, px.
    pub patch: i64,
    /// Width of both towers, a multiple of 64.
    pub width: i64,
    /// Blocks of the image tower.
    pub image_layers: i64,
    /// Blocks of the text tower.
    pub text_layers: i64,
    /// Tokens of a text, start and end included.
    pub context: i64,
    /// Width of the features.
    pub embed: i64,
    /// Most merges of the tokenizer.
    pub merges: usize,
    /// Steps.
    pub steps: u64,
    /// From which share of the steps on an adversary changes the pictures; 1 for never.
    pub adversary_from: f64,
    /// How far it may change a value of [-1, 1].
    pub adversary_reach: f64,
    /// Pairs a step.
    pub batch: usize,
    /// The optimiser.
    pub adam: AdamSettings,
    /// Whether the towers compute in 16-bit brain floats.
    pub bf16: bool,
}

impl Default for ClipSettings {
    fn default() -> Self {
        let adam = AdamSettings { lr: 1e-3, betas: [0.9, 0.98], weight_decay: 0.05, clip: 1.0 };
        ClipSettings {
            patch: 8,
            width: 128,
            image_layers: 4,
            text_layers: 3,
            context: 32,
            embed: 128,
            merges: 400,
            steps: 2650,
            adversary_from: 0.83,
            adversary_reach: 0.06,
            batch: 192,
            adam,
            bf16: true,
        }
    }
}

/// `ln 100`: a sharper softmax is not learnt (OpenAI's limit).
const MAX_LOGIT_SCALE: f64 = 4.605_170_185_988_092;
/// How often the adversary's change is smooth rather than sharp.
const SMOOTH_SHARE: f64 = 0.4;
/// One sign step goes a quarter beyond the reach, then is cut back (fast adversarial training, Wong et al., 2020,
/// <https://arxiv.org/abs/2001.03994>).
const ADVERSARY_STEP: f64 = 1.25;

/// A CLIP in training.
pub struct ClipTraining<'a> {
    settings: ClipSettings,
    parameters: Parameters,
    adam: Adam,
    order: Order,
    pictures: &'a Pictures,
    grammar: Grammar,
    tokenizer: &'a Tokenizer,
}

impl<'a> ClipTraining<'a> {
    /// A CLIP with random values for pictures of `side` px.
    pub fn new(
        settings: &ClipSettings,
        side: i64,
        pictures: &'a Pictures,
        tokenizer: &'a Tokenizer,
        seed: u64,
        device: Device,
    ) -> Result<Self, TrainingError> {
        tch::manual_seed(seed as i64);
        let parameters = initial(settings, side, tokenizer.vocab_size() as i64, device)?;
        let adam = Adam::new(&parameters, settings.adam, |_| true)?;
        let order = Order::new(seed, pictures.len(), settings.batch)?;
        let (settings, grammar) = (settings.clone(), Grammar::default());
        Ok(ClipTraining { settings, parameters, adam, order, pictures, grammar, tokenizer })
    }

    /// Its tensors, under the names of a CLIP's file.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The project's own CLIP on the parameters, through which gradients reach them.
    fn network(&self) -> Result<Clip, TrainingError> {
        let kind = if self.settings.bf16 { Kind::BFloat16 } else { Kind::Float };
        let config = ClipConfig::new(Activation::QuickGelu);
        // The scale is applied below: the network has it as a number, without a gradient.
        Ok(Clip::load(self.parameters.differentiable(kind)?, &config)?.0)
    }

    /// Cross entropy of both directions. `matches` `[texts, pictures]` is 1 where the text is true of the picture: all of
    /// a row's ones share its target, so a picture that fits by chance is no negative.
    fn loss(&self, image: &Tensor, text: &Tensor, matches: &Tensor) -> Result<Tensor, TrainingError> {
        let scale = self.parameters.get("logit_scale").f_exp()?;
        let scores = unit(text)?.f_matmul(&unit(image)?.f_tr()?)?.f_mul(&scale)?;
        let mut loss = Tensor::f_zeros([], (Kind::Float, scores.device()))?;
        for dim in [1, 0] {
            let target = matches.f_div(&matches.f_sum_dim_intlist([dim].as_slice(), true, None)?)?;
            let said = scores.f_log_softmax(dim, Kind::Float)?;
            let each = target.f_mul(&said)?.f_sum_dim_intlist([dim].as_slice(), false, None)?;
            loss = loss.f_sub(&each.f_mean(Kind::Float)?.f_multiply_scalar(0.5)?)?;
        }
        Ok(loss)
    }

    /// The pictures, changed within reach so that the loss grows.
    fn attacked(
        &self,
        clip: &Clip,
        x: &Tensor,
        text: &Tensor,
        matches: &Tensor,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor, TrainingError> {
        let reach = self.settings.adversary_reach;
        let start = uniform(&x.size(), x.device())?.f_multiply_scalar(2.0)?.f_add_scalar(-1.0)?;
        let start = start.f_multiply_scalar(reach)?.f_set_requires_grad(true)?;
        let loss = self.loss(&clip.encode_image(&x.f_add(&start)?)?, &text.f_detach()?, matches)?;
        let mut gradient = gradients(&loss, &[start.shallow_clone()])?.swap_remove(0);
        if rng.random::<f64>() < SMOOTH_SHARE {
            let side = x.size()[3];
            gradient = gradient.f_avg_pool2d([8, 8], [8, 8], [0, 0], false, true, None)?;
            gradient = gradient.f_upsample_bilinear2d([side, side], false, None, None)?;
        }
        let change = start.f_detach()?.f_add(&gradient.f_sign()?.f_multiply_scalar(ADVERSARY_STEP * reach)?)?;
        Ok(x.f_add(&change.f_clamp(-reach, reach)?)?.f_detach()?)
    }
}

/// To length one, in 32 bits.
fn unit(x: &Tensor) -> Result<Tensor, TrainingError> {
    let x = x.f_to_kind(Kind::Float)?;
    let length = x.f_square()?.f_sum_dim_intlist([1].as_slice(), true, None)?.f_add_scalar(1e-12)?.f_sqrt()?;
    Ok(x.f_div(&length)?)
}

/// 1 where the caption (row) names nothing that the picture (column) has otherwise.
fn matching(named: &Tensor, labels: &Tensor) -> Result<Tensor, TrainingError> {
    let named = named.f_unsqueeze(1)?; // [T, 1, heads]
    let silent = named.f_eq(-1)?;
    let equal = named.f_eq_tensor(&labels.f_unsqueeze(0)?)?;
    Ok(silent.f_logical_or(&equal)?.f_all_dim(-1, false)?.f_to_kind(Kind::Float)?)
}

fn initial(s: &ClipSettings, side: i64, vocabulary: i64, device: Device) -> Result<Parameters, TrainingError> {
    let mut p = Parameters::new(device);
    let (w, scale) = (s.width, (s.width as f64).powf(-0.5));
    let patches = (side / s.patch).pow(2);
    p.normal("visual.conv1.weight", &[w, 3, s.patch, s.patch], (3.0 * (s.patch * s.patch) as f64).powf(-0.5))?;
    p.normal("visual.class_embedding", &[w], scale)?;
    p.normal("visual.positional_embedding", &[patches + 1, w], scale)?;
    p.normal("visual.proj", &[w, s.embed], scale)?;
    p.normal("token_embedding.weight", &[vocabulary, w], 0.02)?;
    p.normal("positional_embedding", &[s.context, w], 0.01)?;
    p.normal("text_projection", &[w, s.embed], scale)?;
    p.constant("logit_scale", &[], (1.0f64 / 0.07).ln())?;
    for norm in ["visual.ln_pre", "visual.ln_post", "ln_final"] {
        layer_norm(&mut p, norm, w)?;
    }
    for (tower, layers) in [("visual.transformer", s.image_layers), ("transformer", s.text_layers)] {
        let residual = scale * (2.0 * layers as f64).powf(-0.5);
        for block in 0..layers {
            let block = format!("{tower}.resblocks.{block}");
            layer_norm(&mut p, &format!("{block}.ln_1"), w)?;
            layer_norm(&mut p, &format!("{block}.ln_2"), w)?;
            p.normal(&format!("{block}.attn.in_proj_weight"), &[3 * w, w], scale)?;
            p.constant(&format!("{block}.attn.in_proj_bias"), &[3 * w], 0.0)?;
            for (layer, shape, deviation) in [
                ("attn.out_proj", [w, w], residual),
                ("mlp.c_fc", [4 * w, w], (2.0 * w as f64).powf(-0.5)),
                ("mlp.c_proj", [w, 4 * w], residual),
            ] {
                p.normal(&format!("{block}.{layer}.weight"), &shape, deviation)?;
                p.constant(&format!("{block}.{layer}.bias"), &shape[..1], 0.0)?;
            }
        }
    }
    Ok(p)
}

fn layer_norm(p: &mut Parameters, name: &str, width: i64) -> Result<(), TrainingError> {
    p.constant(&format!("{name}.weight"), &[width], 1.0)?;
    p.constant(&format!("{name}.bias"), &[width], 0.0)
}

impl Part for ClipTraining<'_> {
    fn name(&self) -> &'static str {
        "clip"
    }

    fn step(&mut self, step: u64, steps: u64, rng: &mut ChaCha8Rng) -> Result<Losses, TrainingError> {
        let device = self.parameters.device();
        let indices = self.order.indices(step)?;
        let labels = self.pictures.labels.f_index_select(0, &indices)?;
        let rows = Vec::<Vec<i64>>::try_from(&labels)?;
        let captions: Vec<_> = rows.iter().map(|row| self.grammar.caption(row, rng)).collect();
        let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
        let tokens = self.tokenizer.encode_batch(&texts)?;
        let named: Vec<i64> = captions.iter().flat_map(|caption| caption.named.iter().copied()).collect();
        let named = Tensor::f_from_slice(&named)?.f_view_as(&labels)?;
        let matches = matching(&named, &labels)?.f_to_device(device)?;

        let x = perspective(&self.pictures.batch(&indices, device)?, 0.06, 0.05, 0.05)?;
        let mut x = softened(&x, 0.4, 0.5, 0.08, rng)?;
        let clip = self.network()?;
        let text = clip.encode_text(&tokens)?;
        if step as f64 >= self.settings.adversary_from * steps as f64 {
            x = self.attacked(&clip, &x, &text, &matches, rng)?;
        }
        let loss = self.loss(&clip.encode_image(&x)?, &text, &matches)?;
        let gradients = gradients(&loss, &self.adam.inputs(&self.parameters))?;
        self.adam.step(&self.parameters, &gradients, step + 1, course(step, steps, 50, 0.0, 0.02))?;
        let mut scale = self.parameters.get("logit_scale").shallow_clone();
        let _ = tch::no_grad(|| scale.f_clamp_max_(MAX_LOGIT_SCALE))?;
        Ok(vec![("contrastive", loss.f_double_value(&[])?)])
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.parameters.all().chain(self.adam.all()).collect()
    }
}
