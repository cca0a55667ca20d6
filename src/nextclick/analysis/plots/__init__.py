"""Figures drawn with matplotlib, each from plain data, written as PNG or SVG."""
