# SPDX-License-Identifier: Apache-2.0
"""The pictures: a scanner reads exactly the code, and the SVG is XML that every browser draws."""
import struct
import unittest
import xml.etree.ElementTree as xml

from harness import Case, read_qr

SVG = "{http://www.w3.org/2000/svg}"


class Pictures(Case):
    def picture(self, order, kind="png"):
        answer = self.till.call("GET", f"/v1/orders/{order['id']}/qr.{kind}")
        self.assertEqual(answer.status, 200, repr(answer))
        self.assertEqual(answer.headers["Content-Type"].split(";")[0], {"png": "image/png", "svg": "image/svg+xml"}[kind])
        return answer.body

    def test_the_png_decodes_to_exactly_the_code(self):
        order = self.till.place(self.till.sku())
        self.assertEqual(read_qr(self.picture(order)), order["payment"]["qr_code"])

    def test_the_picture_is_where_the_order_says(self):
        order = self.till.place(self.till.sku())
        self.assertTrue(order["payment"]["qr_image"].startswith(self.till.url + "/"))
        answer = self.till.call("GET", order["payment"]["qr_image"].removeprefix(self.till.url))
        self.assertEqual(answer.body, self.picture(order))

    def test_an_order_for_any_channel_shows_its_payment_page(self):
        order = self.till.place(self.till.sku(), 1, channel="any")
        self.assertEqual(read_qr(self.picture(order)), order["pay_url"])

    def test_twenty_codes_decode_each_to_its_own(self):
        sku = self.till.sku(stock=50)
        for i in range(20):
            order = self.till.place(sku, 1, channel="alipay" if i % 2 else "any")
            self.assertEqual(read_qr(self.picture(order)), order["payment"]["qr_code"] if i % 2 else order["pay_url"])

    def test_the_png_is_large_enough_square_and_has_a_quiet_zone(self):
        png = self.picture(self.till.place(self.till.sku()))
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", png[16:24])
        self.assertEqual(width, height)
        self.assertGreaterEqual(width, 150)

    def test_the_svg_is_well_formed_and_holds_no_script(self):
        for channel in ("alipay", "any"):
            root = xml.fromstring(self.picture(self.till.place(self.till.sku(), 1, channel=channel), "svg").decode("utf-8"))
            self.assertEqual(root.tag, SVG + "svg")
            box = [float(n) for n in root.attrib["viewBox"].split()]
            self.assertEqual(box[2], box[3])
            self.assertGreater(len(list(root.iter())), 1)
            for element in root.iter():
                self.assertNotIn(element.tag.removeprefix(SVG), ("script", "foreignObject", "image", "use"))
                self.assertFalse([a for a in element.attrib if a.lower().startswith("on")])

    def test_a_page_may_get_past_its_cache(self):
        order = self.till.place(self.till.sku())
        for path in (f"/v1/orders/{order['id']}/qr.png?n=1", f"/pay/{order['id']}/qr.svg?n=2"):
            self.assertEqual(self.till.call("GET", path).status, 200, path)

    def test_an_order_that_is_not_there_has_no_picture(self):
        for kind in ("png", "svg"):
            self.problem(self.till.call("GET", f"/v1/orders/ord_nothing/qr.{kind}"), 404)
        order = self.till.place(self.till.sku())
        self.problem(self.till.call("GET", f"/v1/orders/{order['id']}/qr.gif"), 404)
        self.problem(self.till.call("GET", f"/v1/orders/{order['id']}/qr"), 404)


if __name__ == "__main__":
    unittest.main()
