//! The third-party library's script, evaluated in QuickJS.

use std::path::Path;

use kurbo::{BezPath, Shape};
use rquickjs::loader::{BuiltinLoader, BuiltinResolver};
use rquickjs::{CatchResultExt, Context, Ctx, Error, Exception, Function, Module, Persistent, Runtime};

use super::error::FacesError;

/// The release that defines the drawings.
const VERSION: &str = "5.0.3";
/// The modules that drawing needs; the library has others for browsers and random faces.
const MODULES: [&str; 4] = ["faceToSvgString.js", "display.js", "override.js", "svgs.js"];
/// What the library imports from another package: it is provided in Rust.
const BOUNDS_MODULE: &str = "svg-path-bbox";
const GLUE: &str = include_str!("facesjs.mjs");

/// The library, loaded, and its drawing function.
pub(super) struct Library {
    context: Context,
    /// Dropped before its runtime.
    draw: Option<Persistent<Function<'static>>>,
}

impl Library {
    /// Loads the library from its unpacked npm package.
    pub(super) fn open(folder: &Path) -> Result<Self, FacesError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| FacesError::Missing { path, source })
        };
        let package: serde_json::Value =
            serde_json::from_str(&read("package.json")?).map_err(|error| FacesError::Script(error.to_string()))?;
        let found = package["version"].as_str().unwrap_or("unknown");
        if found != VERSION {
            let path = folder.join("package.json");
            return Err(FacesError::Version { path, found: found.to_owned(), expected: VERSION });
        }
        let mut resolver = BuiltinResolver::default();
        let mut loader = BuiltinLoader::default();
        for name in MODULES {
            let module = format!("facesjs/{name}");
            loader.add_module(&module, read(&format!("build/{name}"))?);
            resolver.add_module(module);
        }
        resolver.add_module(BOUNDS_MODULE);
        loader.add_module(BOUNDS_MODULE, "export const svgPathBbox = globalThis.pathBounds;");

        let script = |error: Error| FacesError::Script(error.to_string());
        let runtime = Runtime::new().map_err(script)?;
        runtime.set_loader(resolver, loader);
        let context = Context::full(&runtime).map_err(script)?;
        let draw = context.with(|ctx| {
            let started = start(&ctx).catch(&ctx);
            started.map_err(|error| FacesError::Script(error.to_string()))
        })?;
        Ok(Library { context, draw: Some(draw) })
    }

    /// The SVG of a face, given as the library's JSON.
    pub(super) fn draw(&self, face: &str) -> Result<String, FacesError> {
        self.context.with(|ctx| {
            let drawn = (|| {
                // Safe because only drop() takes it.
                let draw = self.draw.clone().expect("the library is open").restore(&ctx)?;
                draw.call::<_, String>((face,))
            })();
            drawn.catch(&ctx).map_err(|error| FacesError::Script(error.to_string()))
        })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.context.with(|_| self.draw.take());
    }
}

fn start<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Persistent<Function<'static>>> {
    let globals = ctx.globals();
    // The library puts a stand-in for the browser's document there.
    globals.set("global", globals.clone())?;
    globals.set("pathBounds", Function::new(ctx.clone(), path_bounds)?)?;
    let (module, evaluated) = Module::declare(ctx.clone(), "facesjs/glue.mjs", GLUE)?.eval()?;
    evaluated.finish::<()>()?;
    let draw: Function<'js> = module.get("draw")?;
    Ok(Persistent::save(ctx, draw))
}

/// `[left, top, right, bottom]` of an SVG path, curves measured exactly.
fn path_bounds(ctx: Ctx<'_>, path: String) -> rquickjs::Result<Vec<f64>> {
    match BezPath::from_svg(&path) {
        Ok(path) => {
            let bounds = path.bounding_box();
            Ok(vec![bounds.x0, bounds.y0, bounds.x1, bounds.y1])
        }
        Err(error) => Err(Exception::throw_message(&ctx, &format!("a path of the library: {error}"))),
    }
}
