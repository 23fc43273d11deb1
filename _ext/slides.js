// A page whose sections are slides: on the whole screen one at a time, moved by the arrow keys, a click or a presenter.
(() => {
  const button = document.currentScript.parentElement.querySelector(".gdl-present")
  const page = button.closest("article")
  let at = 0
  const show = k => {
    const slides = [...page.querySelectorAll("section > section")]
    at = Math.max(0, Math.min(slides.length - 1, k))
    slides.forEach((slide, i) => slide.classList.toggle("gdl-now", i === at))
    page.focus({preventScroll: true})  // what had the keys may be on a slide that is gone
  }
  const steps = {ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1, Home: -Infinity, End: Infinity}
  const moved = target => target.closest("input, label, button, a")  // these have the keys and clicks for themselves
  document.addEventListener("keydown", event => {
    if (document.fullscreenElement !== page || !(event.key in steps)) return
    if (moved(event.target) && !event.key.startsWith("Page")) return  // a presenter's keys go on from a slider, too
    event.preventDefault()
    show(at + steps[event.key])
  })
  page.addEventListener("click", event => {
    if (document.fullscreenElement === page && !moved(event.target)) show(at + 1)
  })
  page.addEventListener("pointerup", event => {  // after a drag the keys are the slides' again
    if (document.fullscreenElement === page && event.target.matches("input")) page.focus({preventScroll: true})
  })
  button.hidden = !document.fullscreenEnabled  // no telephone has it
  button.onclick = () => { page.tabIndex = -1; page.requestFullscreen().then(() => show(at)) }
})()
