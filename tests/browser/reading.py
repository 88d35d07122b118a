"""What keeps somebody from reading a part of a page: controls without a name, and text too faint to be read."""

from __future__ import annotations

from playwright.sync_api import Locator

CONTRAST_MIN = 4.5
"""Between text and what is behind it, as WCAG 2 asks for on level AA."""
VISIBLE = "const visible = one => one.checkVisibility({visibilityProperty: true, opacityProperty: true});"
NAMELESS = f"""root => {{
    {VISIBLE}
    const name = one => one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.title
        || (one.matches('input, select, textarea') ? '' : one.textContent);
    return [...root.querySelectorAll('input, select, textarea, button, [role=button], [role=slider]')]
        .filter(one => visible(one) && !name(one).trim()).map(one => one.outerHTML.slice(0, 200));
}}"""
FAINT = f"""(root, least) => {{
    {VISIBLE}
    const number = text => [...text.matchAll(/[\\d.]+/g)].map(Number);
    const rgba = text => {{
        const [r, g, b, a = 1] = number(text), unit = text.startsWith('color(') ? 255 : 1;
        return [r * unit, g * unit, b * unit, a];
    }};
    const over = ([r, g, b, a], under) => [r, g, b].map((one, at) => one * a + under[at] * (1 - a));
    const light = rgb => rgb.map(one => one / 255)
        .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const up = one => {{ const all = []; for (; one; one = one.parentElement) all.unshift(one); return all; }};
    const found = new Map();
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {{
        const text = texts.currentNode.data.trim(), one = texts.currentNode.parentElement;
        if (!text || !visible(one) || one.closest('style, title, option, :disabled, [hidden]')) continue;
        let behind = [255, 255, 255], opacity = 1;
        for (const each of up(one)) {{
            const style = getComputedStyle(each);
            behind = over(rgba(style.backgroundColor), behind);
            opacity *= Number(style.opacity);
        }}
        const style = getComputedStyle(one);
        const colour = rgba(one instanceof SVGElement ? style.fill : style.color);
        const shown = over([...colour.slice(0, 3), colour[3] * opacity], behind);
        const [dark, bright] = [light(shown), light(behind)].sort((a, b) => a - b);
        const contrast = (bright + 0.05) / (dark + 0.05);
        if (contrast < least) found.set(`${{text.slice(0, 30)}}: ${{contrast.toFixed(1)}}`, 1);
    }}
    return [...found.keys()];
}}"""


def nameless(part: Locator) -> list[str]:
    """The controls that a screen reader could only call by what kind they are."""
    return list(part.evaluate(NAMELESS))


def faint(part: Locator) -> list[str]:
    """Texts with less contrast than CONTRAST_MIN, each with its contrast. What is disabled may be faint."""
    return list(part.evaluate(FAINT, CONTRAST_MIN))
