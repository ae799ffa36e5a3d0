# The management service for other hosts, and its web page.
web_parts := $(addprefix web/,secret.o session.o limit.o token.o authority.o certificate.o login.o monitor.o ask.o connection.o vnc.o rdp.o preconnect.o viewer.o screen.o console.o websocket.o forward.o page.o sandbox.o)
web_objs := web/main.o $(web_parts) web/page_files.o $(addprefix hosted/,listen.o packet.o show.o form.o sandbox.o filter.o say.o)

web_products := build/web/vweb
build/web/vweb: $(call user,$(web_objs))
	$(call link_user,-ljansson -lmicrohttpd -lgnutls -lseccomp -lpam)

# The page's files are in the program, packed. Without a network there is a page without a terminal and a screen.
web_vendored := xterm.js xterm.css novnc.js
web_page := $(wildcard web/page/*)
web_packed := $(web_page:web/page/%=build/web/page/%.gz) $(web_vendored:%=build/web/page/%.gz)
build/user/web/page_files.o: $(web_packed)
$(web_page:web/page/%=build/web/page/%.gz): build/web/page/%.gz: web/page/%
	@mkdir -p $(@D)
	$(Q)gzip -9nc $< > $@
$(web_vendored:%=build/web/page/%.gz): build/web/page/%.gz: build/web/vendor/%
	@mkdir -p $(@D)
	$(Q)gzip -9nc $< > $@
$(addprefix build/web/vendor/,$(web_vendored)) &: web/package-lock.json web/package.json web/vendor
	@web/vendor build/web/vendor

web_tests := tests/unit/websocket_test.c tests/unit/web_secret_test.c tests/unit/preconnect_test.c
preconnect_test_objs := web/preconnect.o
websocket_test_objs := web/websocket.o
websocket_test_libs := -lgnutls
web_secret_test_objs := $(addprefix web/,secret.o session.o limit.o forward.o) hosted/say.o
web_secret_test_libs := -lgnutls -ljansson

web_fuzzers := tests/fuzz/web_fuzz.c tests/fuzz/preconnect_fuzz.c
preconnect_fuzz_objs := web/preconnect.o
web_fuzz_objs := $(addprefix web/,websocket.o secret.o forward.o) hosted/say.o
web_fuzz_libs := -lgnutls -ljansson
