// Paper is light: a page that is printed from the dark takes off its theme for as long, and then puts it on again.
(() => {
  const html = document.documentElement, paper = matchMedia("print")
  let kept
  const light = () => { kept ??= html.dataset.theme; html.dataset.theme = "light" }
  const back = () => { if (kept) html.dataset.theme = kept; kept = undefined }
  paper.addEventListener("change", () => paper.matches ? light() : back())
  addEventListener("beforeprint", light)
  addEventListener("afterprint", back)
})()
