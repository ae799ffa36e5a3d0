# Read by login shells. At the host's own console who administers machines lands in the text menu, as VERDIGRIS_MENU of /etc/default/verdigris says;
# leaving it is a shell.
verdigris_menu() {
	case "$(tty)" in
	/dev/console | /dev/tty[0-9]* | /dev/ttyS* | /dev/hvc*) ;;
	*) return ;;
	esac
	menu=$(. /etc/default/verdigris 2>/dev/null && echo "$VERDIGRIS_MENU")
	case "$menu" in
	always) ;;
	first | "") [ "$(vm list --columns name 2>/dev/null)" = NAME ] || return ;;
	*) return ;;
	esac
	case " $(id -u) $(id -Gn) " in
	" 0 "* | *" verdigris "*) vm menu ;;
	esac
}
if [ -t 0 ] && [ -t 1 ] && [ -z "${SSH_CONNECTION-}" ]; then
	verdigris_menu
fi
unset -f verdigris_menu
unset menu
