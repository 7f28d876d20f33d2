"use strict";

const byId = (id) => document.getElementById(id);
const maxBytes = Number(document.body.dataset.maxBytes);
const allowed = document.body.dataset.allowed;
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const SECONDS = Number(document.body.dataset.recording); // of a recording
let request = null; // the clip that is on its way
let turn = 0; // counts what was given: whatever is ready later than something newer is dropped
let addresses = []; // of the videos that are shown

// One clip: hand it in, say how it goes, show what comes back.

function predict(blob, name, truth = null) {
  giveUp();
  byId("notice").hidden = true;
  if (blob.size > maxBytes) return fail(`${name} has ${(blob.size / 1e6).toFixed(1)} MB. ${allowed}`);
  if (blob.size === 0) return fail(`${name} is empty (0 bytes). ${allowed}`);
  show("waiting");
  say(`Sending ${name} …`);
  const mine = (request = new XMLHttpRequest());
  const ticket = Math.random().toString(36).slice(2);
  mine.open("POST", `predict?errors=200&ticket=${ticket}&name=${encodeURIComponent(name)}`);
  mine.setRequestHeader("Content-Type", "application/octet-stream");
  mine.upload.onprogress = (event) => {
    if (event.lengthComputable) say(`Sending ${name}: ${Math.round((100 * event.loaded) / event.total)}%`);
  };
  mine.upload.onload = () => watchLine(mine, name, ticket);
  mine.onload = () => {
    request = null;
    let answer = null;
    try {
      answer = JSON.parse(mine.responseText);
    } catch {
      return fail("The page's server gave no answer that can be read. If it was stopped, start m2a serve again; else the terminal says more.");
    }
    if (answer.error) fail(answer.error);
    else showAnalysis(answer, truth);
  };
  mine.onerror = () => {
    request = null;
    fail("The page's server does not answer. Is it still running? Start m2a serve again, and try once more.");
  };
  mine.send(blob);
}

// What is on its way, being fetched or being recorded is not wanted any more.

function giveUp() {
  turn += 1;
  if (request) request.abort();
  request = null;
  if (recording) recording.drop();
}

async function watchLine(mine, name, ticket) {
  say(`Looking at ${name} …`);
  while (request === mine) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    if (request !== mine) return;
    try {
      const { before } = await (await fetch(`queue?ticket=${ticket}`)).json();
      if (request !== mine) return;
      const others = before === 1 ? "One clip is" : `${before} clips are`;
      say(before ? `${others} before ${name}; they are looked at one after the other …` : `Looking at ${name} …`);
    } catch {
      return; // the request itself will tell
    }
  }
}

function show(id) {
  byId("spoken").textContent = "";
  for (const other of ["waiting", "error", "result"]) byId(other).hidden = other !== id;
  if (id === "waiting") byId("outcome").scrollIntoView({ block: "nearest" });
}

function say(text) {
  byId("status").textContent = text;
}

function fail(text) {
  show("error");
  byId("error").textContent = text;
  byId("error").scrollIntoView({ block: "nearest" });
}

// What does not concern the clip that is being looked at, or whose result is shown: it leaves both as they are.

function notify(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = false;
  byId("notice").scrollIntoView({ block: "nearest" });
}

byId("cancel").addEventListener("click", () => {
  giveUp();
  press(null);
  show(null);
  byId("file").focus();
});

function showAnalysis(analysis, truth) {
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  byId("result-title").textContent = truth ? `Example: ${truth}` : analysis.name;
  const columns = [clipColumn(analysis), ...analysis.answers.map((answer) => answerColumn(answer, truth))];
  byId("columns").replaceChildren(...columns);
  show("result");
  byId("spoken").textContent = analysis.answers.map((answer) => `${answer.title}: ${spoken(answer.guesses[0])}`).join("; ");
  setPlaying(!calm);
  byId("outcome").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
}

function spoken({ label, probability }) {
  return `${label}, ${(100 * probability).toFixed(0)}%`;
}

function column(title, details, video, caption) {
  const made = byId("column").content.firstElementChild.cloneNode(true);
  made.querySelector("h3").textContent = title;
  made.querySelector(".details").textContent = details;
  made.querySelector(".caption").textContent = caption;
  const player = made.querySelector("video");
  player.hidden = !video;
  if (!video) return made;
  const bytes = Uint8Array.from(atob(video), (letter) => letter.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  addresses.push(address);
  player.src = address;
  player.setAttribute("aria-label", caption || title);
  return made;
}

function clipColumn(analysis) {
  const { seconds, num_frames: frames, width, height } = analysis;
  const made = column("The clip", `${seconds.toFixed(1)} s; ${frames} frames of ${width} x ${height} pixels`, analysis.video, `Reading and decoding took ${milliseconds(analysis.decode_ms)}.`);
  made.classList.add("clip");
  return made;
}

function answerColumn(answer, truth) {
  const caption = answer.video ? `Evidence for “${answer.guesses[0].label}”` : `No heat map. ${answer.problem}`;
  const made = column(answer.title, answer.details, answer.video, caption);
  made.classList.add("answer");
  const rows = answer.guesses.map(({ label, probability }) => {
    const row = document.createElement("li");
    const line = row.appendChild(document.createElement("div"));
    line.className = "line";
    const name = line.appendChild(document.createElement("span"));
    name.textContent = label;
    if (label === truth) {
      const mark = name.appendChild(document.createElement("small"));
      mark.textContent = " ✓ what it shows";
    }
    line.appendChild(document.createElement("b")).textContent = `${(100 * probability).toFixed(1)}%`;
    const track = row.appendChild(document.createElement("div"));
    track.className = "track";
    track.appendChild(document.createElement("i")).style.setProperty("--share", probability);
    return row;
  });
  made.querySelector(".guesses").replaceChildren(...rows);
  made.querySelector(".latency").textContent = `The network took ${milliseconds(answer.forward_ms)} for the clip.`;
  return made;
}

function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

// The videos of a result play together.

function setPlaying(playing) {
  const players = [...document.querySelectorAll("#columns video:not([hidden])")];
  byId("pause").textContent = playing ? "Pause" : "Play";
  byId("pause").dataset.playing = playing;
  for (const player of players) {
    player.currentTime = players[0].currentTime;
    if (playing) player.play().catch(() => {}); // a new result takes its place
    else player.pause();
  }
}

byId("pause").addEventListener("click", () => setPlaying(byId("pause").dataset.playing !== "true"));

// Files.

const drop = byId("drop");
byId("file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  if (file) take(file);
  event.target.value = ""; // the same file can be chosen again
});
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => event.preventDefault()); // the browser would open the file
}
for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(name, () => drop.classList.toggle("over", over));
}
window.addEventListener("drop", (event) => {
  const { files, items } = event.dataTransfer;
  const entry = items.length && items[0].webkitGetAsEntry ? items[0].webkitGetAsEntry() : null;
  if (entry && entry.isDirectory) return notify("A folder was dropped. Give one clip, as a file.");
  if (files.length === 1) take(files[0]);
  else if (files.length > 1) notify(`${files.length} files were dropped. Give one clip at a time.`);
});

function take(file) {
  press(null);
  predict(file, file.name);
}

// Examples: they play under the pointer, and are handed in like any other clip.

function press(example) {
  for (const other of document.querySelectorAll(".example")) other.setAttribute("aria-pressed", other === example);
}

for (const example of document.querySelectorAll(".example")) {
  const video = example.querySelector("video");
  const play = () => calm || video.play().catch(() => {});
  const stop = () => video.pause();
  example.addEventListener("mouseenter", play);
  example.addEventListener("focus", play);
  example.addEventListener("mouseleave", stop);
  example.addEventListener("blur", stop);
  example.addEventListener("click", async () => {
    giveUp();
    press(example);
    const mine = turn;
    show("waiting");
    say("Sending the example …");
    try {
      const clip = await (await fetch(example.dataset.address)).blob();
      if (mine === turn) predict(clip, "The example", example.dataset.label);
    } catch {
      if (mine === turn) fail("The page's server does not answer. Is it still running? Start m2a serve again, and try once more.");
    }
  });
}

// The camera.

let stream = null;
let recording = null; // with what it is dropped by, where the camera is closed before its end

byId("camera-open").addEventListener("click", async () => {
  const button = byId("camera-open");
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    return notify("This browser gives the page no camera: it does so only on the machine that runs the page, or over https.");
  }
  button.disabled = true; // a second click would open the camera twice
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } } });
  } catch (error) {
    const reason = error.name === "NotAllowedError" ? "it was not allowed" : "there is none, or another program uses it";
    return notify(`The camera cannot be used: ${reason}. A video file does as well.`);
  } finally {
    button.disabled = false;
  }
  for (const track of stream.getTracks()) track.addEventListener("ended", loseCamera); // not by being closed here
  byId("notice").hidden = true;
  const preview = byId("preview");
  preview.srcObject = stream;
  preview.play().catch(() => {});
  byId("camera-open").hidden = true;
  byId("camera-live").hidden = false;
  byId("record").focus();
});

byId("camera-close").addEventListener("click", () => {
  closeCamera();
  byId("camera-open").focus();
});

function loseCamera() {
  closeCamera();
  notify("The camera gives no picture any more. Open it again, or give a video file.");
}

function closeCamera() {
  if (recording) recording.drop();
  for (const track of stream ? stream.getTracks() : []) track.stop();
  stream = null;
  byId("preview").srcObject = null;
  byId("camera-open").hidden = false;
  byId("camera-live").hidden = true;
}

byId("record").addEventListener("click", () => {
  const kinds = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];
  const mimeType = kinds.find((kind) => MediaRecorder.isTypeSupported(kind));
  let recorder = null;
  try {
    recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
    recorder.start();
  } catch {
    return loseCamera();
  }
  byId("notice").hidden = true;
  const pieces = [];
  let dropped = false;
  const mine = (recording = {
    drop() {
      dropped = true;
      if (recorder.state !== "inactive") recorder.stop();
    },
  });
  const button = byId("record");
  let left = SECONDS;
  const count = () => (button.textContent = `Recording, ${left} s left`);
  const clock = setInterval(() => (--left > 0 ? count() : recorder.stop()), 1000);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    clearInterval(clock);
    button.disabled = false;
    button.textContent = button.dataset.idle;
    byId("camera").classList.remove("recording");
    if (recording === mine) recording = null;
    if (dropped) return;
    press(null);
    predict(new Blob(pieces, { type: recorder.mimeType }), "Your recording");
  };
  button.disabled = true;
  byId("camera").classList.add("recording");
  count();
});
