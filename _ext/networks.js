/* Draw a digit or take one, turn it, and see what each network says. Needs gdlNetwork. */
(figure => {
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const {size: SIDE, steps: STEPS, radius: RADIUS} = data;
  const readers = data.networks.map(gdlNetwork);
  const $ = selector => figure.querySelector(selector);
  const board = $("canvas"), slider = $("input"), said = $(".degrees"), choice = $("select"), words = $("[role='status']");
  const cards = [...figure.querySelectorAll(".reader")], hands = figure.querySelectorAll(".hand"), pen = board.getContext("2d");
  const taken = text => Float32Array.from(atob(text), c => c.charCodeAt(0) / 255);
  let digit = taken(data.digits[data.start]), drawn = false, job = 0;

  /** The picture turned counter-clockwise, its values read off between four pixels. */
  function turned(pixels, degrees) {
    const y = new Float32Array(SIDE * SIDE), middle = (SIDE - 1) / 2;
    const quarter = degrees % 90 === 0, t = degrees * Math.PI / 180;
    const cos = quarter ? Math.round(Math.cos(t)) : Math.cos(t), sin = quarter ? Math.round(Math.sin(t)) : Math.sin(t);
    const at = (r, c) => r < 0 || c < 0 || r >= SIDE || c >= SIDE ? 0 : pixels[r * SIDE + c];
    for (let r = 0; r < SIDE; r++) for (let c = 0; c < SIDE; c++) {
      const u = cos * (r - middle) + sin * (c - middle) + middle, v = cos * (c - middle) - sin * (r - middle) + middle;
      const top = Math.floor(u), left = Math.floor(v), a = u - top, b = v - left;
      y[r * SIDE + c] = (1 - a) * ((1 - b) * at(top, left) + b * at(top, left + 1)) + a * ((1 - b) * at(top + 1, left) + b * at(top + 1, left + 1));
    }
    return y;
  }

  /** Chances from scores. */
  function chances(scores) {
    const most = Math.max(...scores), e = Array.from(scores, s => Math.exp(s - most)), sum = e.reduce((a, b) => a + b);
    return e.map(v => v / sum);
  }
  const best = list => list.indexOf(Math.max(...list));

  function paint(pixels) {
    const image = new ImageData(SIDE, SIDE), small = document.createElement("canvas");
    small.width = small.height = SIDE;
    pixels.forEach((v, k) => image.data.set([0, 0, 0, 255 * Math.min(1, Math.max(0, v))], 4 * k));
    small.getContext("2d").putImageData(image, 0, 0);
    pen.fillStyle = "#fff", pen.fillRect(0, 0, board.width, board.height);
    pen.imageSmoothingEnabled = false, pen.drawImage(small, 0, 0, board.width, board.height);
  }

  /** Show by how much the digit is turned. */
  function point() {
    said.textContent = `${slider.value}°`;
    for (const hand of hands) hand.setAttribute("transform", `rotate(${-slider.value})`);
  }

  /** What each network says now. */
  function answer() {
    const degrees = +slider.value, seen = turned(digit, degrees), sentences = [];
    paint(seen), point();
    cards.forEach((card, k) => {
      const p = chances(readers[k](seen)), first = best(p);
      card.querySelector("b").textContent = first;
      card.querySelector("i").textContent = `${Math.round(100 * p[first])} %`;
      sentences.push(`${data.networks[k].name} says ${first} (${Math.round(100 * p[first])} %)`);
    });
    words.textContent = `Turned by ${degrees}°: ${sentences.join(", ")}.`;
    slider.setAttribute("aria-valuetext", words.textContent);
  }

  /** How sure each network is, at each angle, of what it says at 0°: one angle at a time, so that nothing waits for it. */
  function round() {
    const mine = ++job, firsts = readers.map(read => best([...read(digit)])), points = readers.map(() => []);
    let k = 0;
    (function next() {
      if (mine !== job) return;
      const seen = turned(digit, 360 * k / STEPS), t = -2 * Math.PI * k / STEPS;
      readers.forEach((read, j) => {
        const p = chances(read(seen))[firsts[j]];
        points[j].push(`${(RADIUS * p * Math.cos(t)).toFixed(1)},${(RADIUS * p * Math.sin(t)).toFixed(1)}`);
        cards[j].querySelector("polygon").setAttribute("points", points[j].join(" "));
      });
      if (++k < STEPS) setTimeout(next);
    })();
  }
  const show = () => { answer(), round(); };

  /** A drawing as MNIST has its digits: within 20 × 20 pixels, its centre of mass in the middle of 28 × 28. */
  function centred(canvas) {
    const n = canvas.width, alpha = canvas.getContext("2d").getImageData(0, 0, n, n).data;
    let [top, left, bottom, right, mass, u, v] = [n, n, -1, -1, 0, 0, 0];
    for (let r = 0; r < n; r++) for (let c = 0; c < n; c++) {
      const a = alpha[4 * (r * n + c) + 3];
      if (a) top = Math.min(top, r), bottom = Math.max(bottom, r), left = Math.min(left, c), right = Math.max(right, c), mass += a, u += a * r, v += a * c;
    }
    if (!mass) return new Float32Array(SIDE * SIDE);
    const scale = 20 / (1 + Math.max(bottom - top, right - left)), small = document.createElement("canvas"), p = small.getContext("2d");
    small.width = small.height = SIDE;
    p.imageSmoothingQuality = "high";
    p.setTransform(scale, 0, 0, scale, SIDE / 2 - scale * (v / mass + .5), SIDE / 2 - scale * (u / mass + .5));
    p.drawImage(canvas, 0, 0);
    const opacity = p.getImageData(0, 0, SIDE, SIDE).data;
    return Float32Array.from({length: SIDE * SIDE}, (_, k) => opacity[4 * k + 3] / 255);
  }

  /** From where a mouse, a pen or the first finger goes down on an element until it is lifted. */
  function drag(element, start, move, end = () => {}) {
    element.addEventListener("pointerdown", event => {
      if (event.button || !event.isPrimary) return;
      event.preventDefault(), event.stopPropagation();  // the board turns the digit, the canvas on it draws
      element.setPointerCapture(event.pointerId), start(event);
    });
    element.addEventListener("pointermove", event => element.hasPointerCapture(event.pointerId) && move(event));
    element.addEventListener("lostpointercapture", end);
  }

  /** Who goes round the middle of an element moves the slider, and can go on with its keys. */
  function dial(element) {
    const turn = event => {
      const box = element.getBoundingClientRect(), before = slider.value;
      const t = Math.atan2(box.top + box.height / 2 - event.clientY, event.clientX - box.left - box.width / 2);
      slider.value = (t * 180 / Math.PI + 360) % 360;
      if (slider.value === slider.max) slider.value = 0;
      if (slider.value !== before) answer();
    };
    drag(element, event => { slider.focus({preventScroll: true}), turn(event); }, turn);
  }

  /** A stroke from one point of the board to the next; the first one wipes what was there and turns the board back. */
  const sheet = document.createElement("canvas"), brush = sheet.getContext("2d", {willReadFrequently: true});
  sheet.width = board.width, sheet.height = board.height;
  brush.lineWidth = 0.075 * board.width, brush.lineCap = brush.lineJoin = "round";
  const place = event => {
    const box = board.getBoundingClientRect();
    return [(event.clientX - box.left) * board.width / box.width, (event.clientY - box.top) * board.height / box.height];
  };
  function wipe() {
    brush.clearRect(0, 0, sheet.width, sheet.height);
    slider.value = 0, digit = new Float32Array(SIDE * SIDE), drawn = true, choice.selectedIndex = -1;
    point();
  }
  let last;
  function stroke(event) {
    const to = place(event);
    brush.beginPath(), brush.moveTo(...last), brush.lineTo(...to), brush.stroke(), last = to;
    pen.fillStyle = "#fff", pen.fillRect(0, 0, board.width, board.height), pen.drawImage(sheet, 0, 0);
  }
  drag(board, event => {
    if (!drawn || +slider.value) wipe();
    last = place(event), stroke(event);
  }, stroke, () => { digit = centred(sheet), show(); });
  for (const element of figure.querySelectorAll(".board, .readers svg")) dial(element);
  slider.addEventListener("input", () => { slider.focus(), answer(); });
  // A screen reader is to hear an answer once: it speaks the slider's value when that changes under the focus, and the
  // sentence only while the focus is elsewhere.
  slider.addEventListener("focus", () => words.setAttribute("aria-live", "off"));
  slider.addEventListener("blur", () => words.setAttribute("aria-live", "polite"));
  choice.addEventListener("change", () => { slider.value = 0, drawn = false, digit = taken(data.digits[choice.value]), show(); });
  $(".wipe").addEventListener("click", () => { wipe(), show(); });
  figure.classList.add("live"), show();
})
