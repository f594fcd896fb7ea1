// What a page needs before Vue runs: the zone and the theme that were chosen, and the clock's skew.
(() => {
  const cookie = (name) =>
    document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1);
  const keep = (name, value) =>
    (document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=31536000; samesite=strict`);
  const served = Number(document.querySelector('meta[name="tidegate-now"]')?.content);
  const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (cookie("tidegate_theme") ? cookie("tidegate_theme") === "dark" : dark.matches);
  const paint = () => document.documentElement.classList.toggle("dark", isDark());
  dark.addEventListener("change", paint);
  paint();
  window.tidegate = {
    skew: served ? Date.now() - served : 0,
    keep,
    toggleZone() {
      const shown = decodeURIComponent(cookie("tidegate_zone") ?? "UTC");
      keep("tidegate_zone", shown === "UTC" ? browserZone : "UTC");
      location.reload();
    },
    toggleTheme() {
      keep("tidegate_theme", isDark() ? "light" : "dark");
      paint();
      window.setDark?.(isDark());
    },
  };
})();
