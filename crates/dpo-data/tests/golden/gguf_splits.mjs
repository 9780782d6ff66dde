// Tokenises texts with llama.cpp: node gguf_splits.mjs TEXTS.json MODEL.gguf..., one line of JSON a model.
import { readFileSync } from "node:fs";
import { getLlama } from "node-llama-cpp";

const [textsPath, ...models] = process.argv.slice(2);
const texts = JSON.parse(readFileSync(textsPath, "utf8"));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
for (const modelPath of models) {
    const model = await llama.loadModel({ modelPath, vocabOnly: true });
    // Special tokens parsed, as in a prompt.
    console.log(JSON.stringify(texts.map((text) => Array.from(model.tokenize(text, true)))));
    await model.dispose();
}
