// Evaluated beside the library's own modules. Gives beard and brows colours of their own, which the library ties to the
// hair, and frames one colour, which it takes from the clothing. The colours are marks that the renderer replaces.
import { faceToSvgString } from "./faceToSvgString.js";
import svgs from "./svgs.js";

const paint = (feature, marks) => {
    for (const [id, drawing] of Object.entries(svgs[feature])) {
        svgs[feature][id] = Object.entries(marks).reduce((text, [from, to]) => text.replaceAll(from, to), drawing);
    }
};
paint("facialHair", { "$[hairColor]": "@beard@" });
paint("eyebrow", { "$[hairColor]": "@brows@" });
paint("glasses", { "$[primary]": "#141414", "$[secondary]": "#141414", "$[accent]": "#141414" });

// The library replaces the first skin mark of a drawing only.
export const draw = (face) => faceToSvgString(JSON.parse(face)).replaceAll("$[skinColor]", "@skin@");
