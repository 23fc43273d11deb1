// A page whose sections are slides: on the whole screen one at a time, moved by the arrow keys, a click or a presenter.
(() => {
  const button = document.currentScript.parentElement.querySelector(".gdl-present")
  const page = button.closest("article")
  let at = 0
  const show = k => {
    const slides = [...page.querySelectorAll("section > section")]
    at = Math.max(0, Math.min(slides.length - 1, k))
    slides.forEach((slide, i) => slide.classList.toggle("gdl-now", i === at))
  }
  const steps = {ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1, Home: -Infinity, End: Infinity}
  const moved = target => target.closest("input, button, a")  // these have the keys and clicks for themselves
  page.addEventListener("keydown", event => {
    if (document.fullscreenElement !== page || moved(event.target) || !(event.key in steps)) return
    event.preventDefault()
    show(at + steps[event.key])
  })
  page.addEventListener("click", event => {
    if (document.fullscreenElement === page && !moved(event.target)) show(at + 1)
  })
  button.hidden = !document.fullscreenEnabled  // no telephone has it
  button.onclick = () => { show(at); page.tabIndex = -1; page.requestFullscreen().then(() => page.focus()) }
})()
