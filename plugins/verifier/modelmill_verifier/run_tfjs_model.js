'use strict';

// Runs a TensorFlow.js graph model once: `node run_model.js job.json`.
//
// The job names the model.json, the folder with the packages, the inputs (files of little-endian numbers with dtype and
// shape), the outputs wanted by tensor name and the file for the result. Written in the result: for each output
// its file, dtype and shape, and the backend that ran the model; or `error`.

const fs = require('fs');
const path = require('path');
const {createRequire} = require('module');

const VIEWS = {float32: Float32Array, int32: Int32Array, bool: Uint8Array};

/** The bytes of a file as an ArrayBuffer of their own, aligned for any view. */
function readBuffer(file) {
  const bytes = fs.readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

function loadPackages(modules) {
  const requireFrom = createRequire(path.join(path.resolve(modules), 'anywhere.js'));
  const tf = requireFrom('@tensorflow/tfjs-core');
  requireFrom('@tensorflow/tfjs-backend-cpu');
  const wasm = requireFrom('@tensorflow/tfjs-backend-wasm');
  const converter = requireFrom('@tensorflow/tfjs-converter');
  // One thread: sums are taken in the same order in every run, and no worker threads stay behind.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  wasm.setWasmPaths(path.dirname(requireFrom.resolve('@tensorflow/tfjs-backend-wasm')) + path.sep);
  return {tf, converter};
}

/** An IOHandler that reads model.json and its shards from disk, where tfjs itself would fetch them. */
function readFromDisk(tf, file) {
  const loadWeights = async (manifest) => {
    const specs = manifest.flatMap((group) => group.weights);
    const paths = manifest.flatMap((group) => group.paths);
    const shards = paths.map((name) => readBuffer(path.join(path.dirname(file), name)));
    return [specs, tf.io.concatenateArrayBuffers(shards)];
  };
  return {load: () => tf.io.getModelArtifactsForJSON(JSON.parse(fs.readFileSync(file, 'utf8')), loadWeights)};
}

function makeTensor(tf, input) {
  const buffer = readBuffer(input.file);
  if (input.dtype === 'complex64') {
    const pairs = tf.tensor(new Float32Array(buffer), [...input.shape, 2], 'float32');
    const [real, imaginary] = tf.unstack(pairs, -1);
    return tf.complex(real, imaginary);
  }
  return tf.tensor(new VIEWS[input.dtype](buffer), input.shape, input.dtype);
}

async function execute(model, feeds, names) {
  try {
    return model.execute(feeds, names);
  } catch (error) {
    // Control flow and outputs of unknown shape need the asynchronous way; tfjs says so in this error only.
    if (!/executeAsync/.test(error.message)) throw error;
    return model.executeAsync(feeds, names);
  }
}

function writeOutput(output, tensor) {
  const values = tensor.dataSync();
  if (!(tensor.dtype in VIEWS) && tensor.dtype !== 'complex64') {
    throw new Error(`the output ${output.name} is of type ${tensor.dtype}, which cannot be compared`);
  }
  fs.writeFileSync(output.file, Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  return {name: output.name, file: output.file, dtype: tensor.dtype, shape: tensor.shape};
}

async function runOn(backend, job, {tf, converter}) {
  if (!(await tf.setBackend(backend))) throw new Error(`the ${backend} backend does not start here`);
  await tf.ready();
  const model = await converter.loadGraphModel(readFromDisk(tf, job.model));
  const known = new Set(model.inputs.map((input) => input.name.split(':')[0]));
  // An input that no output depends on may have been optimised away; tfjs refuses to be fed it.
  const inputs = job.inputs.filter((input) => known.has(input.tensor));
  const feeds = Object.fromEntries(inputs.map((input) => [input.tensor, makeTensor(tf, input)]));
  const result = await execute(model, feeds, job.outputs.map((output) => output.tensor));
  const tensors = Array.isArray(result) ? result : [result];
  return job.outputs.map((output, index) => writeOutput(output, tensors[index]));
}

async function run(job) {
  const packages = loadPackages(job.modules);
  const about = {version: packages.tf.version_core, node: process.version};
  try {
    return {...about, backend: 'wasm', notes: [], outputs: await runOn('wasm', job, packages)};
  } catch (error) {
    // The wasm backend has fewer kernels than the cpu backend, which is slow and has them all.
    const outputs = await runOn('cpu', job, packages);
    const reason = error.message.split('\n')[0];
    const note = `TensorFlow.js's wasm backend could not run the model (${reason}); its cpu backend did.`;
    return {...about, backend: 'cpu', notes: [note], outputs};
  }
}

async function main() {
  const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  let result;
  try {
    result = await run(job);
  } catch (error) {
    console.error(error.stack);
    result = {error: error.message};
  }
  fs.writeFileSync(job.result, JSON.stringify(result));
  process.exit(0);
}

// The end of standard input is the end of who started this.
process.stdin.on('end', () => process.exit(1)).resume();
main();
