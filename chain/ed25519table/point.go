package ed25519table

import (
	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// The formulas are those of Hisil, Wong, Carter and Dawson, "Twisted Edwards
// Curves Revisited" (https://eprint.iacr.org/2008/522), sections 3.1 and 3.3,
// which RFC 8032 has in section 5.1.4. On this curve they hold for all points,
// those of small order and equal ones among them.

// point is a point of the curve in extended coordinates: x = X/Z, y = Y/Z and
// xy = T/Z.
type point struct{ x, y, z, t field.Element }

func identity() (p point) {
	p.y.One()
	p.z.One()
	return p
}

func pointOf(p *edwards25519.Point) point {
	x, y, z, t := p.ExtendedCoordinates()
	return point{*x, *y, *z, *t}
}

// addend is an affine point, Z = 1, in the form in which it is added. An
// addition of one takes seven multiplications; one of the library's points
// takes nine, for it has a Z and its 2dxy is computed each time.
type addend struct{ yPlusX, yMinusX, xy2d field.Element }

// d2 is twice the d of the curve's equation, -121665/121666.
var d2 = func() *field.Element {
	one := new(field.Element).One()
	d := new(field.Element).Mult32(one, 121666)
	d.Invert(d)
	d.Mult32(d, 2*121665)
	return d.Negate(d)
}()

// negate makes it the negative of its point (x, y), which is (-x, y).
func (q *addend) negate() {
	q.yPlusX, q.yMinusX = q.yMinusX, q.yPlusX
	q.xy2d.Negate(&q.xy2d)
}

func (p *point) add(q *addend) {
	var a, b, c, d, e, f, g, h field.Element
	a.Subtract(&p.y, &p.x)
	a.Multiply(&a, &q.yMinusX)
	b.Add(&p.y, &p.x)
	b.Multiply(&b, &q.yPlusX)
	c.Multiply(&p.t, &q.xy2d)
	d.Add(&p.z, &p.z)
	e.Subtract(&b, &a)
	f.Subtract(&d, &c)
	g.Add(&d, &c)
	h.Add(&b, &a)
	p.x.Multiply(&e, &f)
	p.y.Multiply(&g, &h)
	p.z.Multiply(&f, &g)
	p.t.Multiply(&e, &h)
}

func (p *point) double() {
	var a, b, c, e, f, g, h field.Element
	a.Square(&p.x)
	b.Square(&p.y)
	c.Square(&p.z)
	c.Add(&c, &c)
	h.Add(&a, &b)
	e.Add(&p.x, &p.y)
	e.Square(&e)
	e.Subtract(&h, &e)
	g.Subtract(&a, &b)
	f.Add(&c, &g)
	p.x.Multiply(&e, &f)
	p.y.Multiply(&g, &h)
	p.z.Multiply(&f, &g)
	p.t.Multiply(&e, &h)
}

// encode is the point's one canonical encoding (RFC 8032, section 5.1.2).
func (p *point) encode() (b [32]byte) {
	var x, y, inverse field.Element
	inverse.Invert(&p.z)
	x.Multiply(&p.x, &inverse)
	y.Multiply(&p.y, &inverse)
	copy(b[:], y.Bytes())
	b[31] |= byte(x.IsNegative() << 7)
	return b
}

// addends are the points in the form in which they are added. All of them
// share one inversion, after Montgomery: what is inverted is their product, of
// which each takes the others out again.
func addends(points []point) []addend {
	before := make([]field.Element, len(points)) // the product of all Z before each
	product := new(field.Element).One()
	for i := range points {
		before[i] = *product
		product.Multiply(product, &points[i].z)
	}
	inverse := product.Invert(product)
	out := make([]addend, len(points))
	for i := len(points) - 1; i >= 0; i-- {
		p, q := &points[i], &out[i]
		var x, y, z field.Element
		z.Multiply(inverse, &before[i])
		inverse.Multiply(inverse, &p.z)
		x.Multiply(&p.x, &z)
		y.Multiply(&p.y, &z)
		q.yPlusX.Add(&y, &x)
		q.yMinusX.Subtract(&y, &x)
		q.xy2d.Multiply(&x, &y)
		q.xy2d.Multiply(&q.xy2d, d2)
	}
	return out
}
