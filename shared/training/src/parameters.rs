//! Named tensors of a network in training, and their start values.

use std::collections::BTreeMap;

use networks::Weights;
use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;

/// The tensors of one network under the names of its file: those that are trained, and buffers that are not.
#[derive(Debug)]
pub struct Parameters {
    device: Device,
    trained: BTreeMap<String, Tensor>,
    buffers: BTreeMap<String, Tensor>,
}

impl Parameters {
    /// None yet; all will be on `device`, in 32 bits.
    pub fn new(device: Device) -> Self {
        Parameters { device, trained: BTreeMap::new(), buffers: BTreeMap::new() }
    }

    /// Where the tensors are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Adds a trained tensor of normal values with mean 0. The values come from libtorch's CPU generator, whatever the
    /// device, so a seed means the same everywhere.
    pub fn normal(&mut self, name: &str, shape: &[i64], deviation: f64) -> Result<(), TrainingError> {
        let values = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_multiply_scalar(deviation)?;
        self.add(name, &values)
    }

    /// Adds a trained tensor of one value.
    pub fn constant(&mut self, name: &str, shape: &[i64], value: f64) -> Result<(), TrainingError> {
        self.add(name, &Tensor::f_full(shape, value, (Kind::Float, Device::Cpu))?)
    }

    /// Adds the weight and zero bias of a convolution (four sizes) or linear layer (two), deviation `sqrt(gain / fan-in)`.
    pub fn layer(&mut self, name: &str, shape: &[i64], gain: f64) -> Result<(), TrainingError> {
        let inputs: i64 = shape[1..].iter().product();
        self.normal(&format!("{name}.weight"), shape, (gain / inputs as f64).sqrt())?;
        self.constant(&format!("{name}.bias"), &shape[..1], 0.0)
    }

    /// Adds a batch normalisation: gain, shift, and its running statistics as buffers.
    pub fn batch_norm(&mut self, name: &str, channels: i64) -> Result<(), TrainingError> {
        self.constant(&format!("{name}.weight"), &[channels], 1.0)?;
        self.constant(&format!("{name}.bias"), &[channels], 0.0)?;
        self.buffer(&format!("{name}.running_mean"), &[channels], 0.0)?;
        self.buffer(&format!("{name}.running_var"), &[channels], 1.0)
    }

    /// Adds a tensor that is no parameter.
    pub fn buffer(&mut self, name: &str, shape: &[i64], value: f64) -> Result<(), TrainingError> {
        let tensor = Tensor::f_full(shape, value, (Kind::Float, self.device))?;
        self.buffers.insert(name.to_owned(), tensor);
        Ok(())
    }

    fn add(&mut self, name: &str, values: &Tensor) -> Result<(), TrainingError> {
        let tensor = values.f_to_device(self.device)?.f_set_requires_grad(true)?;
        self.trained.insert(name.to_owned(), tensor);
        Ok(())
    }

    /// A tensor by name.
    ///
    /// # Panics
    /// When there is none of that name: names are written by the code that made them.
    pub fn get(&self, name: &str) -> &Tensor {
        let found = self.trained.get(name).or_else(|| self.buffers.get(name));
        found.unwrap_or_else(|| panic!("the network has no tensor {name}"))
    }

    /// The trained tensors by name, sorted.
    pub fn trained(&self) -> &BTreeMap<String, Tensor> {
        &self.trained
    }

    /// Every tensor, sharing its memory.
    pub fn all(&self) -> impl Iterator<Item = (String, Tensor)> {
        self.trained.iter().chain(&self.buffers).map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
    }

    /// The tensors for a network through which gradients reach them, computing in `kind`.
    pub fn differentiable(&self, kind: Kind) -> Result<Weights, TrainingError> {
        Ok(Weights::with_gradients("parameters in training", self.all(), self.device, kind)?)
    }

    /// A checked copy for a frozen network in 32 bits.
    pub fn frozen(&self) -> Result<Weights, TrainingError> {
        Ok(Weights::from_tensors("trained parameters", self.all(), self.device, Kind::Float)?)
    }
}

/// An exponential moving average of a network's trained tensors; buffers follow at once.
#[derive(Debug)]
pub struct Average {
    tensors: BTreeMap<String, Tensor>,
}

impl Average {
    /// Starts at the parameters as they are.
    pub fn of(parameters: &Parameters) -> Result<Self, TrainingError> {
        let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_detach_copy()?));
        Ok(Average { tensors: parameters.all().map(copy).collect::<Result<_, TrainingError>>()? })
    }

    /// `average += (1 - decay) · (parameters - average)`.
    pub fn follow(&mut self, parameters: &Parameters, decay: f64) -> Result<(), TrainingError> {
        tch::no_grad(|| {
            for (name, average) in &mut self.tensors {
                let newest = parameters.get(name);
                if parameters.trained.contains_key(name) {
                    let _ = average.f_lerp_(newest, 1.0 - decay)?;
                } else {
                    average.f_copy_(newest)?;
                }
            }
            Ok(())
        })
    }

    /// Copies the average into the parameters.
    pub fn into_parameters(self, parameters: &Parameters) -> Result<(), TrainingError> {
        tch::no_grad(|| {
            for (name, tensor) in &self.tensors {
                parameters.get(name).shallow_clone().f_copy_(tensor)?;
            }
            Ok(())
        })
    }

    /// Every tensor by name, sharing its memory.
    pub fn all(&self) -> impl Iterator<Item = (String, Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
    }
}
