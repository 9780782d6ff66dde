// llama.cpp computes from a GGUF file what transformers computes from the folder it was exported from.
//
//     npm install --prefix tests/llama_cpp
//     node tests/llama_cpp/check.mjs CASES.jsonl
//
// A line of CASES.jsonl, as `check_exports.py` writes it: {"name", "gguf", "lora"?, "tolerance", "texts": [{"prompt":
// [id], "greedy": [id], "logps": [nats]}]}. The prompt's tokens and the likeliest continuation are fed as they are; each
// token's log-prob must be near, and no other token may be likelier by more than rounding explains.
//
// With a KV cache in f16, as llama.cpp has it, log-probs of the tiny models differ by 1e-5 to 3e-3.
import { readFileSync } from "node:fs";

import { getLlama, LlamaLogLevel } from "node-llama-cpp";

/** Log-probs of `next` after `prompt`, and the likeliest token in front of each. */
async function evaluated(context, prompt, next) {
    const sequence = context.getSequence();
    const all = [...prompt, ...next];
    const first = prompt.length - 1;
    const input = all.slice(0, -1).map((token, idx) =>
        idx < first ? token : [token, { generateNext: { probabilities: true, options: { temperature: 0 } } }]);
    const results = await sequence.controlledEvaluate(input);
    return next.map((token, idx) => {
        const { probabilities } = results[first + idx].next;
        const [best] = probabilities.keys(); // The likeliest comes first.
        const logp = Math.log(probabilities.get(token) ?? 0);
        return { best, logp, lead: Math.log(probabilities.get(best)) - logp };
    });
}

/** What a case differs by: the largest difference of a log-prob, tokens compared, first token that is another. */
async function checked(llama, { gguf, lora, texts }) {
    const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0, useMmap: false });
    const adapters = lora ? { lora: { adapters: [{ filePath: lora, scale: 1 }] } } : {};
    const context = await model.createContext({ contextSize: 512, sequences: texts.length, threads: 2, flashAttention: false, ...adapters });
    let [largest, nTokens, nSame] = [0, 0, 0];
    for (const { prompt, greedy, logps } of texts) {
        const found = await evaluated(context, prompt, greedy);
        found.forEach(({ best, logp, lead }, idx) => {
            // A tie that goes the other way has both log-probs within the tolerance.
            largest = Math.max(largest, Math.abs(logp - logps[idx]), lead / 2);
            nTokens += 1;
            nSame += best === greedy[idx];
        });
    }
    await context.dispose();
    await model.dispose();
    return { largest, nTokens, nSame };
}

const llama = await getLlama({ gpu: false, logLevel: LlamaLogLevel.error, build: "never" });
const cases = readFileSync(process.argv[2], "utf8").trim().split("\n").map((line) => JSON.parse(line));
const failed = [];
console.log("largest difference, nats       llama.cpp   greedy tokens that are the same");
for (const one of cases) {
    try {
        const { largest, nTokens, nSame } = await checked(llama, one);
        console.log(`${one.name.padEnd(28)}${largest.toExponential(1).padStart(12)}   ${nSame} of ${nTokens}`);
        if (!(largest <= one.tolerance)) failed.push(one.name);
    } catch (error) {
        console.log(`${one.name.padEnd(28)}   ${error.message}`);
        failed.push(one.name);
    }
}
if (failed.length > 0) {
    console.error(`llama.cpp differs or fails on ${failed.join(", ")}`);
    process.exit(1);
}
